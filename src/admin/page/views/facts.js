// What is known of a client, beside its timeline.

import { fill, h, icon, setText } from "../dom.js";
import { bars, bytes, count, duration, plural, relative, signed, since, visible } from "../format.js";

/** Rows that are shown of a list before somebody asks for all of it. */
const ROWS = 30;

/** Details, kept in place while they change. */
export function facts(list, client, now) {
  const ago = (time) => `${relative(Date.parse(time), now)} · ${since(Date.parse(time))}`;
  const rows = [
    ["Link", client.link ?? "none since its goodbye"],
    ["Address", [client.address, client.node && `behind it node ${client.node}`].filter(Boolean).join(", ") || "–", "mono"],
    client.rssi !== null && ["Signal", `${signed(client.rssi)} dBm${client.lqi === null ? "" : `, link quality ${client.lqi}`}`, "", `bars${bars(client.rssi)}`],
    ["Last heard", ago(client.last_heard)],
    ["Connected", ago(client.connected_at)],
    client.sleeps_until && ["Sleeps until", ago(client.sleeps_until)],
    ["Keep-alive", client.keep_alive ? duration(client.keep_alive * 1000) : "none: it may be silent for ever"],
    ["Session", client.clean_session ? "ends with the connection" : "is kept when it goes"],
    ["Waiting", client.waiting ? `${plural(client.waiting, "message")}, ${bytes(client.waiting_bytes)}` : "nothing"],
    ["Will", client.will_topic === null ? "none" : visible(client.will_topic), client.will_topic ? "mono" : ""],
    ["Broker", client.transparent ? "a connection of its own" : "the shared connection"],
    ["Profile", client.profile],
    client.rule && ["Rule", client.rule],
  ].filter(Boolean);
  const names = rows.map(([name]) => name).join();
  if (list.dataset.names !== names) {
    list.dataset.names = names;
    fill(list, rows.map(([name, , kind, shape]) => h("div", null, h("dt", null, name), h("dd", { class: kind || null }, shape && icon(shape), h("span")))));
  }
  rows.forEach(([, value], index) => setText(list.children[index].querySelector("dd span"), value));
}

export function subscriptions(place, client) {
  table(place, ["QoS", "Filter"], client.subscriptions, client.subscription_count, "It subscribes to nothing.", (one) => [
    String(one.qos),
    one.filter,
    one.predefined_id === null ? null : `predefined id ${one.predefined_id}`,
  ]);
}

export function topicIds(place, client) {
  table(place, ["Id", "Topic"], client.topics, client.topic_count, "It has no topic ids of its own.", (one) => [
    String(one.id),
    one.name,
    one.confirmed ? null : "it has not said that it knows this id",
  ]);
}

/** A table of two columns, redone only when what it shows is different. */
function table(place, heads, items, number, none, cells) {
  const text = JSON.stringify(items);
  if (place.dataset.text === text) return;
  place.dataset.text = text;
  if (items.length === 0) {
    fill(place, h("p", { class: "nothing" }, none));
    return;
  }
  const row = (item) => {
    const [first, name, more] = cells(item);
    return h("tr", null, h("td", { class: "number mono" }, first), h("td", { class: "mono" }, visible(name), more && h("span", { class: "remark" }, more)));
  };
  const body = h("tbody", null, items.slice(0, ROWS).map(row));
  const rest = items.length - ROWS;
  const all = rest > 0 && h("button", { type: "button", class: "button small", onclick: () => {
    body.append(...items.slice(ROWS).map(row));
    all.remove();
  } }, `${count(rest)} more`);
  fill(
    place,
    h("table", { class: "table" }, h("thead", null, h("tr", null, h("th", { scope: "col", class: "number" }, heads[0]), h("th", { scope: "col" }, heads[1]))), body),
    all,
    number > items.length && h("p", { class: "nothing" }, `The first ${count(items.length)} of ${count(number)}.`),
  );
}
