// Many clients: the list goes to its end and finds one among all, and few of them are in the page at a time.

import assert from "node:assert/strict";
import { run, world } from "./harness.mjs";

const rows = (count) => document.querySelector(".grid").getAttribute("aria-rowcount") === String(count + 1);

await run(async (open) => {
  await world({ do: "crowd", from: 0, to: 10_000 });
  const tab = await open({ hash: "#/clients" });
  await tab.live();
  await tab.until(rows, 10_000);
  await tab.sees(".tally", "10,000");
  await tab.picture("clients-10000");
  await tab.find(".grid").focus();
  await tab.page.keyboard.press("End");
  await tab.sees(".rows .row", "client-009999");
  const made = await tab.find(".rows .row").count();
  assert.ok(made < 100, `${made} rows`);
  await tab.find(".grid").evaluate((grid) => grid.scrollTo(0, grid.scrollHeight / 2));
  await tab.sees(".rows .row", "client-005000");
  await tab.find("#search").fill("client-00123");
  await tab.until(rows, 10);
  await tab.sees(".rows .row", "client-001234");
  await tab.find("#search").fill("");
  await tab.until(rows, 10_000);
  await tab.find(".head button", { hasText: "Client id" }).click();
  await tab.sees(".rows .row[aria-rowindex='2']", "client-009999");
  await tab.find("select[aria-label=State]").selectOption("gone");
  await tab.sees(".nothing", "No client is like that.");

  // Too many to have them all: the gateway searches.
  await world({ do: "crowd", from: 10_000, to: 21_000 });
  const other = await open({ hash: "#/clients" });
  await other.sees(".tally", "The first 1,000 of 21,000");
  await other.find("#search").fill("client-02000");
  await other.until(rows, 10);
  await other.sees(".rows .row", "client-020007");
  await other.sees(".tally", "10 of 21,000");
  await other.picture("clients-21000");
});
