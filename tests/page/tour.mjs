// What a person does with the page: looks, finds a device, follows it, ends a session, and stays there while the
// gateway restarts.

import assert from "node:assert/strict";
import { run, world } from "./harness.mjs";

const HOSTILE = "<img src=x onerror=document.title=1>";
/** An id has 23 characters at most. */
const ID = "<img src=x onerror=a()>";
/** The browser says in the console what is not there any more, and that nobody answers. */
const GONE = /404 \(Not Found\) \S+\/clients\/meter-7/;
const AWAY = /ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET/;

await run(async (open) => {
  await world({ do: "connect", id: "boiler-1" });
  const tab = await open();
  await tab.live();
  await tab.sees("h1", "Overview");
  await tab.sees(".verdict", "All is well");
  await tab.sees(".link .state", "up");
  await tab.sees(".figures", "connected");
  await tab.sees(".crowd", "1 client");

  // A device that comes is seen.
  await tab.go("#/clients");
  await tab.sees(".rows .row", "boiler-1");
  await world({ do: "connect", id: "meter-7" });
  await tab.sees(".rows .row", "meter-7");

  // Search and filters.
  await tab.find("#search").fill("METER");
  await tab.misses(".rows .row", "boiler-1");
  await tab.sees(".rows .row", "meter-7");
  await tab.find("select[aria-label=State]").selectOption("asleep");
  await tab.sees(".nothing", "No client is like that.");
  await tab.find(".nothing button").click();
  await tab.sees(".rows .row", "boiler-1");

  // Without a mouse: to the search, to a row, into it, to the button, and back out of the dialog.
  const { keyboard } = tab.page;
  await tab.go("#/");
  await tab.sees("h1", "Overview");
  await keyboard.press("/");
  await tab.sees("h1", "Clients");
  await tab.until(() => document.activeElement.id === "search");
  await keyboard.type("boiler");
  await tab.misses(".rows .row", "meter-7");
  await keyboard.press("ArrowDown");
  await keyboard.press("ArrowDown");
  await tab.until(() => document.querySelector(".grid").getAttribute("aria-activedescendant"));
  await keyboard.press("Enter");
  await tab.sees("h1", "boiler-1");
  await tab.until(() => document.activeElement.matches("h1"));
  await tab.sees(".button.danger");
  await keyboard.press("Tab");
  assert.equal(await tab.page.evaluate(() => document.activeElement.textContent), "End session …");
  await keyboard.press("Enter");
  await tab.sees("dialog h2", "boiler-1");
  await keyboard.press("Escape");
  await tab.misses("dialog");
  await tab.page.reload();
  await tab.live();
  await keyboard.press("Tab");
  assert.equal(await tab.page.evaluate(() => document.activeElement.id), "skip");
  await keyboard.press("Enter");
  assert.equal(await tab.page.evaluate(() => document.activeElement.id), "main");

  // One device, live.
  await tab.go("#/clients/meter-7");
  await tab.sees("h1", "meter-7");
  await tab.sees(".timeline .entry", "CONNECT");
  await world({ do: "publish", id: "meter-7", topic: "sensors/7/temperature", payload: "21.5" });
  await tab.sees(".timeline .entry.in", "21.5");
  await tab.sees(".timeline .entry.out", "PUBACK");
  await tab.sees(".side .table", "sensors/7/temperature");
  await tab.find(".log button", { hasText: "Pause" }).click();
  await world({ do: "publish", id: "meter-7", topic: "sensors/7/temperature", payload: "22.5" });
  await tab.sees(".log .tally", "new");
  assert.equal(await tab.find(".timeline .entry", { hasText: "22.5" }).count(), 0);
  await tab.find(".log button", { hasText: "Go on" }).click();
  await tab.sees(".timeline .entry", "22.5");
  await tab.find(".check", { hasText: "Packets" }).click();
  await tab.misses(".timeline .entry.packet");
  await tab.find(".check", { hasText: "Packets" }).click();
  await tab.sees(".timeline .entry.packet");

  // What a device says is text, whatever it says.
  await world({ do: "connect", id: ID });
  await world({ do: "publish", id: ID, topic: HOSTILE, payload: HOSTILE });
  for (const hash of ["#/", "#/clients", "#/topics", "#/strangers", `#/clients/${encodeURIComponent(ID)}`]) {
    await tab.go(hash);
    await tab.live();
  }
  await tab.sees("h1", ID);
  await tab.sees(".timeline .entry", HOSTILE);
  await tab.sees(".side .table", HOSTILE);
  await tab.go("#/topics");
  await tab.sees(".table", HOSTILE);
  assert.equal(await tab.find("img").count(), 0);
  assert.match(await tab.page.title(), /^Topics/);

  // The end of a session.
  await tab.go("#/clients/meter-7");
  await tab.find(".button.danger", { hasText: "End session" }).click();
  await tab.sees("dialog", "topic id");
  await tab.find("dialog .button.danger").click();
  await tab.sees("#toast", "has ended");
  await tab.sees(".badge", "no session");
  await world({ do: "dismissed", id: "meter-7" });

  // A tab that nobody sees does not listen; one that is seen again does.
  const hide = (hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  };
  const ends = tab.page.waitForEvent("requestfailed", (request) => request.url().includes("/events"));
  await tab.page.evaluate(hide, true);
  await ends;
  const begins = tab.page.waitForRequest((request) => request.url().includes("/events"));
  await tab.page.evaluate(hide, false);
  await begins;
  await tab.live();

  // The theme that is chosen stays.
  await tab.find("#theme").click();
  await tab.find("#theme").click();
  await tab.page.reload();
  await tab.live();
  assert.equal(await tab.page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), "dark");
  await tab.isLegible("the dark theme by choice");
  await tab.find("#theme").click();

  // Reload, log level.
  await tab.go("#/upkeep");
  await tab.find("button", { hasText: "Reload the configuration" }).click();
  await tab.sees(".outcome", "Nothing has changed.");
  await tab.find(".levels .check", { hasText: "debug" }).click();
  await tab.page.reload();
  await tab.sees(".levels input[value=debug]:checked");

  // A capture.
  await tab.find(".fields button", { hasText: "Start" }).click();
  await tab.sees(".status", "Capturing");
  await world({ do: "publish", id: "boiler-1", topic: "sensors/1/temperature", payload: "60" });
  await tab.find("button", { hasText: "Stop" }).click();
  const [download] = await Promise.all([tab.page.waitForEvent("download"), tab.find("button", { hasText: "Download" }).click()]);
  assert.match(download.suggestedFilename(), /\.pcapng$/);
  tab.isClean(GONE);

  await company();
  await looks(open);

  // The gateway goes and comes.
  await tab.go("#/clients");
  await tab.sees(".rows .row", "hall-door");
  await tab.misses(".rows .row", "meter-7");
  await world({ do: "kill" });
  await tab.sees("#banner", "does not answer");
  await tab.sees('#connection[data-state="away"]');
  await tab.sees(".rows .row", "boiler-1");
  await tab.picture("clients-gateway-away");
  await world({ do: "restart" });
  await tab.live();
  await tab.misses("#banner");
  await world({ do: "connect", id: "newcomer" });
  await tab.sees(".rows .row", "newcomer");
  tab.isClean(AWAY);
});

/** Devices as they are in a house. */
async function company() {
  const places = ["cellar/boiler", "garden/soil-3", "roof/wind", "kitchen/window", "hall/door"];
  for (const [index, place] of places.entries()) {
    const id = place.replace("/", "-");
    await world({ do: "connect", id });
    await world({ do: "subscribe", id, filter: `commands/${place}` });
    await world({ do: "publish", id, topic: `sensors/${place}`, payload: `{"value":${20 + index / 2}}` });
    if (index % 2) {
      await world({ do: "sleep", id });
      await world({ do: "from-afar", topic: `commands/${place}` });
    }
  }
  await world({ do: "subscribe", id: "boiler-1", filter: "commands/boiler/#" });
  for (let value = 1; value < 12; value += 1) {
    await world({ do: "publish", id: "boiler-1", topic: "sensors/boiler/temperature", payload: `6${value}.5` });
  }
}

/** Every view in every shape: nothing sticks out, all can be read, and pictures of it are kept. */
async function looks(open) {
  const views = { overview: "#/", clients: "#/clients", client: "#/clients/boiler-1", strangers: "#/strangers", topics: "#/topics", upkeep: "#/upkeep" };
  for (const [shape, options] of Object.entries({ light: {}, dark: { dark: true }, phone: { phone: true } })) {
    const tab = await open(options);
    for (const [name, hash] of Object.entries(views)) {
      await tab.go(hash);
      await tab.sees("h1", name === "client" ? "boiler-1" : new RegExp(name, "i"));
      await tab.live();
      if (name === "overview") await tab.misses(".rates strong", "–");
      if (name === "client") await tab.sees(".timeline .entry", "sensors/boiler/temperature");
      if (name === "clients") await tab.sees(".rows .row", "boiler-1");
      await tab.isLegible(`${name}, ${shape}`);
      await tab.fits(`${name}, ${shape}`);
      await tab.picture(`${name}-${shape}`);
      if (shape === "light") await tab.isAccessible(name);
    }
    tab.isClean();
    await tab.page.context().close();
  }
}
