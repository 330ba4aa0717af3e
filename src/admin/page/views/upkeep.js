// What is done to the gateway: a capture, reading the configuration again, the level of its log.

import * as api from "../api.js";
import { fill, h, icon, setText } from "../dom.js";
import { capture } from "./capture.js";
import { card } from "./card.js";

const LEVELS = { error: "errors only", warn: "and warnings", info: "and what happens", debug: "and details", trace: "and everything" };

export function upkeep() {
  const packets = capture();
  const log = logLevel();
  return {
    title: "Upkeep",
    element: h(
      "div",
      { class: "page" },
      h("header", { class: "title" }, h("h1", { tabindex: "-1" }, "Upkeep")),
      h("div", { class: "cards" }, packets.element, configuration(), log.element),
      h("p", { class: "faint" }, "Programs can do all of this as well: ", h("code", null, "/api/v1/openapi.json"), " describes how."),
    ),
    follow: {
      kinds: "states",
      client: null,
      on: {
        fresh: () => {
          packets.load();
          log.load();
        },
      },
    },
    tick: packets.tick,
  };
}

function configuration() {
  const outcome = h("div", { class: "outcome", role: "status" });
  const button = h("button", { type: "button", class: "button primary" }, "Reload the configuration");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const { taken, kept } = await api.change("POST", "api/v1/reload");
      const waits = Object.entries(kept);
      fill(
        outcome,
        taken.length === 0 && waits.length === 0 && h("p", null, icon("good"), h("span", null, "Nothing has changed.")),
        taken.length > 0 && [h("p", null, icon("good"), h("span", null, "In force now:")), h("ul", null, taken.map((key) => h("li", { class: "mono" }, key)))],
        waits.length > 0 && [
          h("p", null, icon("warn"), h("span", null, "Needs a restart; until then this stays in force:")),
          h("ul", null, waits.map(([key, value]) => h("li", { class: "mono" }, `${key} = ${value}`))),
        ],
      );
    } catch (error) {
      fill(outcome, h("p", null, icon("bad"), h("span", null, "Not taken; what was in force before stays so.")), h("pre", { tabindex: "0" }, error.message));
    }
    button.disabled = false;
  });
  return card("Configuration", "Reads gateway.toml again, as SIGHUP does. Devices notice nothing, unless a rule for them has changed.", button, outcome);
}

function logLevel() {
  const said = h("p", { class: "faint", role: "status" });
  const boxes = Object.entries(LEVELS).map(([level, words]) => {
    const input = h("input", { type: "radio", name: "level", value: level, onchange: () => set(level) });
    return h("label", { class: "check" }, input, h("strong", null, level), h("span", { class: "faint" }, words));
  });
  const element = card("Log level", "How much the gateway writes to its log. It counts until the next reload or restart.", h("fieldset", { class: "levels" }, h("legend", { class: "heard" }, "Log level"), boxes), said);
  element.hidden = true;
  const show = ({ level }) => {
    element.hidden = false;
    let plain = false;
    for (const input of element.querySelectorAll("input")) {
      input.checked = input.value === level;
      plain ||= input.checked;
    }
    setText(said, plain ? "" : `Now: ${level}`);
  };
  const set = async (level) => {
    try {
      show(await api.change("PUT", `api/v1/log?level=${encodeURIComponent(level)}`));
    } catch (error) {
      setText(said, error.message);
    }
  };
  const load = async () => {
    try {
      show(await api.get("api/v1/log"));
    } catch (error) {
      // An older gateway has no such thing.
      if (error.status !== 404) throw error;
    }
  };
  return { element, load };
}
