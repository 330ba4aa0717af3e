// Topic names: those with predefined ids, and those in use.

import * as api from "../api.js";
import { fill, h, icon, setText } from "../dom.js";
import { count, plural, visible } from "../format.js";

/** Names that are asked for before somebody wants more. */
const ENOUGH = 2_000;
/** Rows that are shown; the search finds the others. */
const ROWS = 500;
const ORDER = new Intl.Collator("en", { numeric: true });

export function topics() {
  const search = h("input", { type: "search", class: "input", id: "search", placeholder: "Search in topics", autocomplete: "off", spellcheck: "false" });
  const more = h("button", { type: "button", class: "button small", hidden: true, onclick: () => load(names.length + ENOUGH) }, "Load more");
  const tally = h("p", { class: "tally" });
  const [fixed, used] = [h("tbody"), h("tbody")];
  const [noneFixed, noneUsed] = [h("p", { class: "nothing" }), h("p", { class: "nothing" })];
  let predefined = [];
  let names = [];
  let next = null;
  let loaded = false;

  const paint = () => {
    const wanted = search.value.toLowerCase();
    const fits = (topic) => topic.name.toLowerCase().includes(wanted);
    const ids = predefined.filter(fits);
    const found = names.filter(fits);
    fill(fixed, ids.slice(0, ROWS).map((topic) => row(String(topic.id), topic.name, "number mono")));
    fill(used, found.slice(0, ROWS).map((topic) => row(count(topic.uses), topic.name, "number")));
    setText(noneFixed, ids.length > 0 ? "" : predefined.length ? "None is like that." : "There are none. [topics] in gateway.toml gives topics an id that devices know beforehand.");
    setText(noneUsed, found.length > ROWS ? `The first ${ROWS} of ${count(found.length)}: search for the others.` : found.length > 0 ? "" : names.length ? "None is like that." : "None: no device has registered or subscribed to a topic yet.");
    setText(tally, loaded ? `${count(predefined.length)} predefined, ${plural(names.length, "name")} in use${next === null ? "" : " so far"}` : "Loading …");
    more.hidden = next === null;
  };

  const load = async (most = ENOUGH, cursor = next ?? 0) => {
    if (cursor === 0) names = [];
    do {
      const page = await api.get(`api/v1/topics?cursor=${cursor}`);
      predefined = page.predefined;
      names = names.concat(page.topics);
      next = cursor = page.next;
    } while (cursor !== null && names.length < most);
    names.sort((a, b) => ORDER.compare(a.name, b.name));
    loaded = true;
    paint();
  };

  search.addEventListener("input", paint);
  paint();
  return {
    title: "Topics",
    element: h(
      "div",
      { class: "page" },
      h("header", { class: "title" }, h("h1", { tabindex: "-1" }, "Topics"), tally, h("span", { class: "spring" }), more, h("button", { type: "button", class: "button small", onclick: () => load(ENOUGH, 0) }, "Look again")),
      h("search", { class: "toolbar" }, h("label", { class: "search", for: "search" }, icon("search"), h("span", { class: "heard" }, "Search in topics"), search, h("kbd", { "aria-hidden": "true" }, "/"))),
      h(
        "div",
        { class: "columns" },
        section("Predefined", "For everybody, from the configuration", ["Id", "Topic"], fixed, noneFixed),
        section("In use", "By topic ids, subscriptions and messages that wait", ["Uses", "Topic"], used, noneUsed),
      ),
    ),
    // What is typed meanwhile is not disturbed: it is asked once, and when the gateway has come back.
    follow: { kinds: "states", client: null, on: { fresh: () => load(ENOUGH, 0) } },
  };
}

function section(title, what, heads, body, none) {
  const id = `t-${title.replace(/\W/g, "")}`;
  return h(
    "section",
    { "aria-labelledby": id },
    h("h2", { id }, title),
    h("p", { class: "faint" }, what),
    h("div", { class: "panel" }, h("table", { class: "table" }, h("thead", null, h("tr", null, h("th", { scope: "col", class: "number" }, heads[0]), h("th", { scope: "col" }, heads[1]))), body), none),
  );
}

function row(first, name, kind) {
  return h("tr", null, h("td", { class: kind }, first), h("td", { class: "mono" }, visible(name)));
}
