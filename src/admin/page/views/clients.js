// All clients: search, filters, and a table that takes any number of them.

import * as api from "../api.js";
import { Crowd, MOST } from "../crowd.js";
import { fill, h, icon, setText, throttled } from "../dom.js";
import { STATES, bars, count, moment, relative, signed, visible } from "../format.js";
import { Grid } from "../grid.js";
import { clientAddress, remember } from "../router.js";
import { store, watch } from "../store.js";

const COLUMNS = [
  { name: "state", title: "State", class: "c-state" },
  { name: "id", title: "Client id", class: "c-id" },
  { name: "link", title: "Link, address", class: "c-link" },
  { name: "heard", title: "Last heard", class: "c-heard" },
  { name: "rssi", title: "RSSI", class: "c-rssi number" },
  { name: "sleeps", title: "Sleeps until", class: "c-sleeps" },
  { name: "waiting", title: "Waiting", class: "c-waiting number" },
];

/** They stay while other views are looked at. */
const crowd = new Crowd();

export function clients({ query }) {
  const filter = { text: query.get("q") ?? "", state: query.get("state") ?? "", link: query.get("link") ?? "" };
  const [by, turn] = (query.get("sort") ?? "id").split(" ");
  let sort = COLUMNS.some((column) => column.name === by) ? { by, down: turn === "down" } : { by: "id", down: false };

  const search = h("input", { type: "search", class: "input", id: "search", value: filter.text, placeholder: "Search by client id", autocomplete: "off", spellcheck: "false" });
  const states = h("select", { class: "input", "aria-label": "State" }, h("option", { value: "" }, "Any state"), Object.entries(STATES).map(([state, [word]]) => h("option", { value: state }, word)));
  const links = h("select", { class: "input", "aria-label": "Link" });
  const order = h("select", { class: "input order", "aria-label": "Sort by" }, COLUMNS.map((column) => h("option", { value: column.name }, `by ${column.title.toLowerCase()}`)));
  const tally = h("p", { class: "tally" });
  const more = h("button", { type: "button", class: "button small", hidden: true, onclick: () => crowd.loadMore(filter).then(paint) }, "Load 1,000 more");
  states.value = filter.state;

  const grid = new Grid({
    label: "Clients",
    columns: COLUMNS,
    key: (client) => client.id,
    make: clientRow,
    open: (client) => (location.hash = clientAddress(client.id)),
    sort: (by) => resort({ by, down: sort.by === by && !sort.down }),
  });

  const paint = () => {
    const list = crowd.list(filter, sort);
    grid.show(list);
    tell(list.length);
  };

  const tell = (found) => {
    const of = store.status ? ` of ${count(store.status.clients.total)}` : "";
    const filtered = filter.text || filter.state || filter.link;
    more.hidden = !crowd.more || crowd.whole;
    if (crowd.loading && crowd.size === 0) setText(tally, "Loading …");
    else if (crowd.whole) setText(tally, filtered ? `${count(found)} of ${count(crowd.size)}` : count(found));
    else if (crowd.more) setText(tally, `The first ${count(found)}${filtered ? " that match" : ""}${of}, sorted among themselves. Beyond ${count(MOST)} clients the gateway searches: say more of the id.`);
    else setText(tally, `${count(found)}${of}, searched by the gateway`);
    const nobody = found === 0 && !crowd.loading;
    grid.element.classList.toggle("empty", nobody);
    if (!nobody) grid.say();
    else if (filtered) grid.say(h("p", null, "No client is like that."), h("button", { type: "button", class: "button small", onclick: clear }, "Show all"));
    else grid.say(h("p", null, "No client yet."), h("p", { class: "faint" }, "Devices appear here when they connect. What they send before, or in vain, is with the ", h("a", { href: "#/strangers" }, "strangers"), "."));
  };

  const load = () => crowd.load(filter, paint);
  const settle = throttled(250, load);
  const again = throttled(5_000, load);
  const changed = () => {
    remember("clients", { q: filter.text, state: filter.state, link: filter.link, sort: sort.by === "id" && !sort.down ? "" : `${sort.by}${sort.down ? " down" : ""}` });
    grid.rewind();
    paint();
    if (!crowd.whole) settle();
  };
  const resort = (next) => {
    sort = next;
    order.value = sort.by;
    grid.sorted(sort);
    changed();
  };
  const clear = () => {
    Object.assign(filter, { text: "", state: "", link: "" });
    [search.value, states.value, links.value] = ["", "", ""];
    changed();
    search.focus();
  };
  search.addEventListener("input", () => {
    filter.text = search.value;
    changed();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      grid.element.focus();
    }
  });
  states.addEventListener("change", () => {
    filter.state = states.value;
    changed();
  });
  links.addEventListener("change", () => {
    filter.link = links.value;
    changed();
  });
  order.addEventListener("change", () => resort({ by: order.value, down: false }));

  const listLinks = () => {
    const names = store.links.map((link) => link.name);
    if (filter.link && !names.includes(filter.link)) names.push(filter.link);
    if (links.dataset.names === names.join("\n") && links.options.length) return;
    links.dataset.names = names.join("\n");
    fill(links, h("option", { value: "" }, "Any link"), names.map((name) => h("option", { value: name }, name)));
    links.value = filter.link;
  };
  listLinks();
  order.value = sort.by;
  grid.sorted(sort);
  paint();
  const end = watch(listLinks);
  const soon = throttled(400, paint);
  if (query.has("focus")) setTimeout(() => search.focus());

  return {
    title: "Clients",
    element: h(
      "div",
      { class: "page tall" },
      h("header", { class: "title" }, h("h1", { tabindex: "-1" }, "Clients"), tally, more),
      h("search", { class: "toolbar" }, h("label", { class: "search", for: "search" }, icon("search"), h("span", { class: "heard" }, "Search by client id"), search, h("kbd", { "aria-hidden": "true" }, "/")), states, links, order),
      grid.element,
    ),
    follow: {
      kinds: "states",
      client: null,
      on: {
        fresh: load,
        missed: again,
        client: (client) => {
          crowd.put(client);
          soon();
        },
        removed: ({ id }) => {
          crowd.remove(id);
          soon();
        },
      },
    },
    tick: (now) => grid.paint(now),
    close: () => {
      end();
      soon.cancel();
      settle.cancel();
      again.cancel();
      crowd.stop();
    },
  };
}

function clientRow() {
  const cells = COLUMNS.map((column) => h("div", { class: `cell ${column.class}`, role: "gridcell" }));
  const [state, id, place, heard, rssi, sleeps, waiting] = cells;
  const link = h("a", { tabindex: "-1" });
  const [linkName, address] = [h("span"), h("span", { class: "faint" })];
  id.append(link);
  place.append(linkName, " ", address);
  const element = h("div", { class: "row", role: "row" }, cells);
  const update = (client, now = api.now()) => {
    if (state.dataset.state !== client.state) {
      state.dataset.state = client.state;
      fill(state, icon(client.state), h("span", null, STATES[client.state]?.[0] ?? client.state));
    }
    const shown = visible(client.id);
    if (link.textContent !== shown) {
      link.textContent = shown;
      link.title = shown;
      link.href = clientAddress(client.id);
    }
    setText(linkName, client.link ?? "–");
    setText(address, [client.address, client.node && `node ${client.node}`].filter(Boolean).join(" "));
    place.title = place.textContent;
    setText(heard, relative(client.heard, now));
    heard.title = moment(client.heard);
    if (rssi.dataset.value !== String(client.rssi)) {
      rssi.dataset.value = String(client.rssi);
      fill(rssi, client.rssi === null ? "" : [icon(`bars${bars(client.rssi)}`), signed(client.rssi)]);
    }
    setText(sleeps, client.sleeps ? relative(client.sleeps, now) : "");
    sleeps.classList.toggle("late", Boolean(client.sleeps) && client.sleeps < now);
    setText(waiting, client.waiting ? count(client.waiting) : "");
  };
  return { element, update };
}
