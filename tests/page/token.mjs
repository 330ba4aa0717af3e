// Elsewhere than on the loopback the page asks for the token, and shows nothing before it has it.

import assert from "node:assert/strict";
import { run, world } from "./harness.mjs";

await run(async (open) => {
  const { token } = await world({ do: "token" });
  const tab = await open();
  await tab.sees("dialog h2", "token");
  await tab.find("#token").fill("not this one");
  await tab.find("dialog button[type=submit]").click();
  await tab.sees(".problem", "This is not the token.");
  await tab.picture("token");
  await tab.isLegible("token");
  await tab.find("#token").fill(token);
  await tab.find("dialog button[type=submit]").click();
  await tab.misses("dialog");
  await tab.live();
  await world({ do: "connect", id: "meter-7" });
  await tab.go("#/clients/meter-7");
  await tab.sees(".badge", "connected");
  await tab.find(".button.danger", { hasText: "End session" }).click();
  await tab.find("dialog .button.danger").click();
  await tab.sees("#toast", "has ended");
  // It is kept for this tab, and nowhere else.
  await tab.page.reload();
  await tab.live();
  assert.equal(await tab.page.evaluate(() => JSON.stringify(localStorage).includes(sessionStorage.getItem("mqtt-sn-gateway token"))), false);
  // The browser says in the console what was refused, and that the client is not there any more.
  tab.isClean(/401 \(Unauthorized\)|404 \(Not Found\) \S+\/clients\/meter-7/);
});
