// Packets that belong to no client: of devices that have not connected, or were not let in.

import * as api from "../api.js";
import { h } from "../dom.js";
import { state } from "../live.js";
import { Timeline } from "../timeline.js";

/** Seconds after which it is asked again: they have no events of their own. */
const EVERY = 3;

export function strangers() {
  const timeline = new Timeline({ linked: true });
  const missing = h("p", { class: "nothing", hidden: true }, "This gateway does not keep them.");
  let ticks = 0;

  const load = async () => {
    try {
      const found = await api.get("api/v1/strangers");
      timeline.load(found.entries, found.forgotten);
    } catch (error) {
      if (error.status !== 404) throw error;
      timeline.element.hidden = true;
      missing.hidden = false;
    }
  };

  return {
    title: "Strangers",
    element: h(
      "div",
      { class: "page" },
      h("header", { class: "title" }, h("h1", { tabindex: "-1" }, "Strangers")),
      h("p", { class: "now" }, "What belongs to no client: searches for a gateway, packets of devices that have not connected or were not let in, and what is no MQTT-SN. A device that is not in the list of clients may be found here, with the reason."),
      timeline.element,
      missing,
    ),
    follow: { kinds: "states", client: null, on: { fresh: load } },
    tick: () => {
      ticks += 1;
      if (ticks % EVERY === 0 && missing.hidden && state.name === "live" && !document.hidden) load();
    },
    close: () => timeline.stop(),
  };
}
