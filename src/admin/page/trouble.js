// What is wrong with the gateway as a whole, and what to do about it.

import { bytes, countdown, count, plural, sentence } from "./format.js";

/** What `limits_reached_total` counts: what happened, and what to do. */
const LIMITS = {
  clients: ["There is no room for more clients", "Raise [sessions] max_clients, or end sessions of devices that no longer exist."],
  handshakes: ["Too many devices connect at the same time", "Those that were turned away try again by themselves. If it goes on, something makes all of them reconnect: look at the link."],
  topics: ["A device registers more topics than it may", "Raise [sessions] max_topics_per_client, or give its topics predefined ids."],
  subscriptions: ["A device subscribes to more than it may", "Raise [sessions] max_subscriptions_per_client, or let it use wildcards."],
  in_flight: ["A device sends faster than the broker acknowledges", "It was told to try later. If it goes on, the broker or the way to it is slow."],
  buffer: ["Messages for devices were given up because too many wait", "Look which clients have many waiting. [sessions] max_buffered_messages and max_buffered_bytes set the limits."],
  packet_size: ["A message is too large for its link", "The publisher has to send less: radio links carry short packets. The log says which topic it was."],
  strangers: ["Many packets come from devices that have no session", "They are told to connect, so many at a time. After a restart without state that is usual, and passes."],
  takeovers: ["Two devices seem to use one client id", "Each connection ends the other's. The log says which id; give every device its own."],
  store: ["The state directory cannot be written to", "Look whether the disk is full or read-only."],
  newcomers: ["One address brings more new client ids than it may", "A device that makes up a new id at each start, or somebody who tries ids. The log has the address."],
};

/** Why packets are dropped at a link, and what to do. */
const DROPS = {
  overflow: ["had no room in a queue", "The link is slower than what is to go over it: publish less, or less often, to its devices."],
  away: ["went to a line or device that was away", "Look at cable, plug, power and distance."],
  unsendable: ["cannot be carried by the radio", "They are too long for it, or have no valid destination there."],
  unreachable: ["went to destinations that do not answer", "Are these devices switched on and in range?"],
  error: ["met an error of the system", "The log says which."],
  overrun: ["came faster than they were taken", "The machine is too busy, or a device floods it."],
  kernel: ["did not fit the socket's buffer", "Raise receive_buffer of the [[udp]], or give the machine more CPU."],
};

const DOWN = {
  serial: "Is the device plugged in and powered, and may the gateway open it? Its log says what the system answers.",
  ble: "Is there a Bluetooth adapter, and is it switched on? mqtt-sn-gateway check --ble looks at it.",
  udp: "The log says why the socket is not open.",
};

/** What there is to say, the worst first: `{ level, title, advice, href }` with `level` bad, warn or info. */
export function troubles({ status, links, counters }, now) {
  const found = [...brokers(status), ...links.flatMap((link) => ofLink(link, now)), ...ofCounters(counters)];
  const rank = { bad: 0, warn: 1, info: 2 };
  return found.sort((a, b) => rank[a.level] - rank[b.level]);
}

function brokers(status) {
  const away = (status?.upstream ?? []).filter((upstream) => !upstream.connected);
  return away.map((upstream) => ({
    level: "bad",
    title: `Not connected to the broker${upstream.broker ? ` ${upstream.broker}` : ""}`,
    advice:
      `${upstream.trouble ? `${sentence(upstream.trouble)} ` : ""}Devices are served meanwhile: what they publish with QoS 1 or 2 is ` +
      `kept${status.spooled_bytes ? `, ${bytes(status.spooled_bytes)} by now` : ""}, and sent when the broker is back.`,
  }));
}

function ofLink(link, now) {
  const found = [];
  if (!link.up) found.push({ level: "bad", title: `Link ${link.name} is down`, advice: DOWN[link.kind] });
  for (const [reason, { total, lately }] of Object.entries(link.lost)) {
    if (lately === 0) continue;
    const [what, advice] = DROPS[reason] ?? [`were dropped (${reason})`, "The log says more."];
    const title = `${link.name}: ${plural(lately, "packet")} ${what}`;
    found.push({ level: "warn", title, advice: `${advice} ${count(total)} since the gateway started.` });
  }
  if (link.permit_join?.open) {
    const until = Date.parse(link.permit_join.until);
    const rest = Number.isFinite(until) ? ` for ${countdown(until - now)}` : "";
    found.push({ level: "info", title: `Unknown devices may join over ${link.name}${rest}`, advice: "Close it when yours is in." });
  }
  return found;
}

function ofCounters(counters) {
  const found = [];
  if (counters.journal_failing?.[""]?.total > 0) {
    found.push({
      level: "bad",
      title: "Nothing can be written to the state directory",
      advice: "Look whether the disk is full, gone or read-only. Until it can be written to, devices hear congestion and keep what they have.",
    });
  }
  for (const [limit, { total, lately }] of Object.entries(counters.limits_reached_total ?? {})) {
    if (lately === 0) continue;
    const [title, advice] = LIMITS[limit] ?? [`The limit ${limit} was reached`, "The log says more."];
    found.push({ level: "warn", title, advice: `${advice} ${times(lately, total)}` });
  }
  for (const [denial, { total, lately }] of Object.entries(counters.denials_total ?? {})) {
    if (lately === 0) continue;
    const title = `A rule does not allow what devices want (${denial.replaceAll("_", " ")})`;
    found.push({ level: "info", title, advice: `The timeline of the client, or the log, says what it was. ${times(lately, total)}` });
  }
  const malformed = sum(counters.malformed_packets_total);
  if (malformed.lately > 0) {
    found.push({
      level: "info",
      title: "Packets come in that are no MQTT-SN",
      advice: `Another program, another version of the protocol, or noise. ${times(malformed.lately, malformed.total)}`,
      href: "#/strangers",
    });
  }
  return found;
}

const times = (lately, total) => `${plural(lately, "time")} lately, ${count(total)} since the gateway started.`;

function sum(counter) {
  const all = Object.values(counter ?? {});
  const add = (name) => all.reduce((sum, value) => sum + value[name], 0);
  return { total: add("total"), lately: add("lately") };
}
