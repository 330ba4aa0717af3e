// What the page says about troubles that are not easily had: the gateway's answers are changed on their way.

import assert from "node:assert/strict";
import { run } from "./harness.mjs";

const HOSTILE = "<b>no such file</b>";
const traffic = { packets: 10, bytes: 100 };
const link = (kind, name, more) => ({ name, kind, up: true, received: traffic, sent: traffic, dropped: {}, discarded_bytes: null, devices: null, permit_join: null, ...more });

await run(async (open) => {
  let open_until = null;
  let drops = 0;
  const asked = [];
  const door = () => ({ open: open_until !== null, until: open_until, known: 4 });
  const prepare = async (page) => {
    const json = (route, value, status = 200) => route.fulfill({ status, contentType: "application/json", body: JSON.stringify(value) });
    await page.route("**/api/v1/links", (route) => {
      drops += 3;
      json(route, { links: [link("udp", "udp *:1883", { dropped: { overflow: drops } }), link("serial", "serial /dev/ttyUSB0", { up: false }), link("ble", "ble any/1", { permit_join: door(), devices: 2 })] });
    });
    await page.route("**/permit-join?*", (route) => {
      const request = route.request();
      asked.push([request.method(), new URL(request.url()).pathname, request.headers()["x-requested-with"]]);
      open_until = new URL(request.url()).searchParams.get("seconds") === "0" ? null : new Date(Date.now() + 300_000).toISOString();
      json(route, { link: "ble any/1", permit_join: door() });
    });
    await page.route("**/api/v1/status", async (route) => {
      const status = await (await route.fetch()).json();
      status.upstream = [{ connected: false, broker: "mqtts://broker.example", trouble: HOSTILE }];
      json(route, { ...status, spooled_bytes: 2048 });
    });
    await page.route("**/api/v1/reload", (route) => json(route, { error: HOSTILE }, 422));
  };
  for (const shape of [{}, { phone: true, dark: true }]) {
    const tab = await open({ ...shape, prepare });
    await tab.live();
    await tab.sees(".trouble[data-level=bad]", "mqtts://broker.example");
    await tab.sees(".trouble[data-level=bad]", HOSTILE);
    await tab.sees(".trouble[data-level=bad]", "2.0 KiB");
    await tab.sees(".trouble[data-level=bad]", "Link serial /dev/ttyUSB0 is down");
    await tab.sees(".trouble[data-level=warn]", "had no room in a queue");
    await tab.sees(".verdict", "3 things need attention");
    await tab.find(".join:visible button").click();
    await tab.sees(".join", "Open to unknown devices");
    await tab.sees(".trouble[data-level=info]", "may join over ble any/1");
    await tab.picture(`overview-trouble-${shape.phone ? "phone" : "light"}`);
    await tab.isLegible("troubles");
    await tab.fits("troubles");
    await tab.find(".join:visible button").click();
    await tab.sees(".join", "4 devices known");
    assert.deepEqual(asked.splice(0), Array(2).fill(["POST", "/api/v1/links/ble%20any%2F1/permit-join", "mqtt-sn-gateway"]));
    await tab.go("#/upkeep");
    await tab.find("button", { hasText: "Reload the configuration" }).click();
    await tab.sees(".outcome pre", HOSTILE);
    tab.isClean(/422/);
  }
});
