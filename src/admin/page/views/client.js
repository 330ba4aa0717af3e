// One client: what it does now and why, what is known of it, and its timeline.

import * as api from "../api.js";
import { confirm, toast } from "../dialogs.js";
import { fill, h, icon, setText, throttled } from "../dom.js";
import { STATES, bytes, plural, relative, sentence, visible } from "../format.js";
import { Timeline } from "../timeline.js";
import { facts, subscriptions, topicIds } from "./facts.js";

export function client({ id }) {
  const path = `api/v1/clients/${encodeURIComponent(id)}`;
  const badge = h("span", { class: "badge" });
  const kick = h("button", { type: "button", class: "button danger small", hidden: true }, "End session …");
  const now = h("p", { class: "now" });
  const reasons = h("ul", { class: "troubles", "aria-label": "Why" });
  const [details, filters, ids] = [h("dl", { class: "facts" }), h("div"), h("div")];
  const timeline = new Timeline({ linked: false });
  const log = h("section", { "aria-labelledby": "timeline-title" }, h("h2", { id: "timeline-title" }, "Timeline"), timeline.element);
  const side = h("div", { class: "side" }, section("Details", details), section("Subscriptions", filters), section("Topic ids", ids));
  let known = null;
  let hints = [];
  let missing = false;
  /** Of everybody; they come with any page of topics. */
  let predefined = null;

  const tick = (time) => {
    if (missing) setText(now, "It has no session here. What was heard of it is below.");
    else if (known) setText(now, doing(known, time));
    if (known) facts(details, known, time);
  };

  const paint = () => {
    const state = missing ? "none" : known?.state;
    if (badge.dataset.state !== state) {
      badge.dataset.state = state;
      fill(badge, missing ? [icon("gone"), "no session"] : known && [icon(known.state), STATES[known.state]?.[0] ?? known.state]);
    }
    kick.hidden = missing || !known;
    side.hidden = !known;
    side.classList.toggle("past", missing);
    fill(
      reasons,
      !missing && known?.silent_because && reason("silent", "Why it is silent", sentence(known.silent_because)),
      !missing && known?.waiting_because && reason("waiting", "Why messages wait", sentence(known.waiting_because)),
      hints.map((hint) => reason("hint", hint.title, hint.advice)),
    );
    reasons.hidden = reasons.children.length === 0;
    if (known) {
      subscriptions(filters, known);
      topicIds(ids, known);
      timeline.name(naming(known, predefined ?? []));
    }
    tick(api.now());
  };

  const load = async () => {
    try {
      known = await api.get(path);
      missing = false;
      predefined ??= (await api.get("api/v1/topics")).predefined;
    } catch (error) {
      if (error.status !== 404) throw error;
      missing = true;
    }
    paint();
  };
  const loadTimeline = async () => {
    try {
      const found = await api.get(`${path}/timeline`);
      timeline.load(found.entries, found.forgotten);
      hints = found.hints;
    } catch (error) {
      if (error.status !== 404) throw error;
      // Of somebody who was never heard of there is none, and an older gateway keeps none.
      log.hidden = !missing && hints.length === 0 && !timeline.element.querySelector(".entry");
    }
    paint();
  };
  const soon = throttled(1_000, load);
  const later = throttled(5_000, loadTimeline);
  const fresh = async () => {
    await load();
    await loadTimeline();
  };

  kick.addEventListener("click", async () => {
    if (!(await confirm({ title: `End the session of ${visible(id)}?`, text: loses(known), action: "End the session" }))) return;
    try {
      await api.change("DELETE", path);
      toast(`The session of ${visible(id)} has ended.`);
    } catch (error) {
      toast(error.message, "bad");
    }
    await load();
  });

  paint();
  return {
    title: visible(id),
    element: h(
      "div",
      { class: "page" },
      h("p", { class: "back" }, h("a", { href: "#/clients" }, icon("back"), "Clients")),
      h("header", { class: "title" }, h("h1", { tabindex: "-1", class: "mono" }, visible(id)), badge, h("span", { class: "spring" }), kick),
      now,
      reasons,
      h("div", { class: "columns client" }, log, side),
    ),
    follow: {
      kinds: "packets,states",
      client: id,
      on: {
        fresh,
        missed: ({ count }) => {
          timeline.missed(count);
          soon();
        },
        packet: (entry) => {
          timeline.add(entry);
          soon();
          // Hints are found in what has happened.
          later();
        },
        note: (entry) => {
          timeline.add(entry);
          soon();
          later();
        },
        client: (next) => {
          if (known) known = { ...known, ...next };
          paint();
          soon();
        },
        removed: () => soon(),
      },
    },
    tick,
    close: () => {
      timeline.stop();
      soon.cancel();
      later.cancel();
    },
  };
}

/** Which topic an entry names by its id. An id is what it is now only since the session began. */
function naming(client, predefined) {
  const map = (topics) => new Map(topics.map((topic) => [topic.id, topic.name]));
  const [own, fixed] = [map(client.topics), map(predefined)];
  return ({ topic_id: id, predefined: isFixed, time, text }) => {
    if (typeof id !== "number") return null;
    const name = isFixed ? fixed.get(id) : time >= client.connected_at.replace("Z", "") ? own.get(id) : null;
    return name === undefined || name === null || text.includes(name) ? null : name;
  };
}

/** What it is doing, in a sentence. */
function doing(client, now) {
  const heard = `Heard ${relative(Date.parse(client.last_heard), now)}.`;
  const sleeps = client.sleeps_until && Date.parse(client.sleeps_until);
  const parts = [STATES[client.state]?.[1] ?? "", heard];
  if (sleeps) parts.push(sleeps > now ? `It is due ${relative(sleeps, now)}.` : `It was due ${relative(sleeps, now)}.`);
  if (client.waiting > 0) parts.push(`${plural(client.waiting, "message")} (${bytes(client.waiting_bytes)}) ${client.waiting === 1 ? "waits" : "wait"} for it.`);
  return parts.join(" ");
}

/** What the end of its session takes away. */
function loses(client) {
  const things = [
    client.subscription_count && plural(client.subscription_count, "subscription"),
    client.topic_count && plural(client.topic_count, "topic id"),
    client.waiting && `${plural(client.waiting, "message")} that ${client.waiting === 1 ? "waits" : "wait"} for it (${bytes(client.waiting_bytes)})`,
  ].filter(Boolean);
  const list = things.length > 1 ? `${things.slice(0, -1).join(", ")} and ${things.at(-1)}` : things[0];
  return [
    list ? `Its ${list} will be lost.` : "Nothing waits for it, and it has no subscriptions and no topic ids to lose.",
    client.will_topic ? `Its will is published on ${visible(client.will_topic)}.` : "It has no will.",
    "The device is told to disconnect. If it is alive it connects again and begins anew; one that sleeps is told when it asks. This keeps nobody out.",
  ];
}

function reason(level, title, text) {
  const symbol = { silent: "warn", waiting: "waiting", hint: "hint" }[level];
  return h("li", { class: "trouble", "data-level": level }, h("span", { class: "shape" }, icon(symbol)), h("div", null, h("strong", null, title), h("span", null, text)));
}

function section(title, content) {
  const name = `s-${title.replace(/\W/g, "")}`;
  return h("section", { "aria-labelledby": name }, h("h2", { id: name }, title), h("div", { class: "panel" }, content));
}
