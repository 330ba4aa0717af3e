// What the scripts share: the browser, the test that has started them, and what is wrong with a page.

import assert from "node:assert/strict";
import { accessSync, constants, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [, , base, pictures] = process.argv;
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Has the test do something: see `World` in tests/page.rs. */
export async function world(request) {
  process.stdout.write(`? ${JSON.stringify(request)}\n`);
  const { value, done } = await answers.next();
  assert.ok(!done, "the test has gone; it says why");
  return JSON.parse(value);
}

/** The distribution's browser. */
function browserPath() {
  for (const folder of process.env.PATH.split(delimiter)) {
    for (const name of ["chromium", "chromium-browser"]) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // In another folder, or under the other name.
      }
    }
  }
  throw new Error("there is no chromium; tests/setup.sh installs it");
}

/** Runs the script with a browser, and ends it. */
export async function run(script) {
  const browser = await chromium.launch({
    executablePath: browserPath(),
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  let last = null;
  try {
    await script(async (options) => (last = await Tab.open(browser, options)));
    for (const context of browser.contexts()) for (const page of context.pages()) page.tab.isClean();
  } catch (error) {
    if (last) await last.picture("failed");
    throw error;
  } finally {
    await browser.close();
    // The answers are not waited for any more.
    process.stdin.destroy();
  }
}

/** A tab, and everything that it complained about. */
export class Tab {
  complaints = [];

  /** `prepare` gets the page before anything is loaded. */
  static async open(browser, { hash = "", phone = false, dark = false, prepare = () => {} } = {}) {
    const context = await browser.newContext({
      viewport: phone ? { width: 390, height: 844 } : { width: 1280, height: 800 },
      deviceScaleFactor: phone ? 2 : 1,
      hasTouch: phone,
      colorScheme: dark ? "dark" : "light",
      // What moves is no matter here.
      reducedMotion: "reduce",
    });
    const tab = new Tab();
    tab.page = await context.newPage();
    tab.page.tab = tab;
    tab.page.setDefaultTimeout(30_000);
    tab.page.on("pageerror", (error) => tab.complaints.push(`error: ${error.stack}`));
    tab.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) tab.complaints.push(`console: ${message.text()} ${message.location().url}`);
    });
    await tab.page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
      });
    });
    await prepare(tab.page);
    await tab.page.goto(`${base}/${hash}`);
    return tab;
  }

  /** Nothing was wrong but what matches. */
  isClean(allowed = /^$/) {
    assert.deepEqual(this.complaints.filter((complaint) => !allowed.test(complaint)), []);
    this.complaints.length = 0;
  }

  find(selector, options) {
    return this.page.locator(selector, options);
  }

  /** Waits until this is to be seen. */
  async sees(selector, hasText) {
    await this.page.locator(selector, hasText && { hasText }).first().waitFor();
  }

  /** Waits until this is not to be seen. */
  async misses(selector, hasText) {
    await this.page.locator(selector, hasText && { hasText }).first().waitFor({ state: "hidden" });
  }

  async live() {
    await this.sees('#connection[data-state="live"]');
  }

  /** Goes on when this is true in the page. */
  async until(condition, argument) {
    await this.page.waitForFunction(condition, argument);
  }

  async go(hash) {
    await this.page.evaluate((hash) => {
      location.hash = hash;
    }, hash);
  }

  async picture(name) {
    mkdirSync(pictures, { recursive: true });
    await this.page.evaluate(() => scrollTo(0, 0));
    await this.page.screenshot({ path: join(pictures, `${name}.png`) });
  }

  /** Whoever hears the page, or sees little, can use it. */
  async isAccessible(what) {
    this.isClean();
    await this.page.evaluate(axe);
    const violations = await this.page.evaluate(async () => {
      const { violations, passes } = await globalThis.axe.run(document, { resultTypes: ["violations", "passes"] });
      if (passes.length < 10) return ["next to nothing was looked at"];
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 160)} ${node.failureSummary}`).join(" | ")}`);
    });
    assert.deepEqual(violations, [], what);
  }

  /** All text stands out from what is behind it, by 4.5 to 1 at least. */
  async isLegible(what) {
    const poor = await this.page.evaluate(() => {
      const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const channels = (colour) => {
        paint.clearRect(0, 0, 1, 1);
        paint.fillStyle = colour;
        paint.fillRect(0, 0, 1, 1);
        return [...paint.getImageData(0, 0, 1, 1).data];
      };
      const light = (colour) => {
        const [r, g, b] = channels(colour).map((octet) => {
          const part = octet / 255;
          return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
          const colour = getComputedStyle(at).backgroundColor;
          if (channels(colour)[3] === 255) return colour;
        }
        return getComputedStyle(document.documentElement).backgroundColor;
      };
      const found = [];
      let seen = 0;
      for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !element.checkVisibility() || element.closest(".skip, .heard, :disabled")) continue;
        seen += 1;
        const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) found.push(`${element.className}: ${element.textContent.slice(0, 40)}: ${contrast.toFixed(2)}`);
      }
      return { found, seen };
    });
    assert.ok(poor.seen > 10, "there is text");
    assert.deepEqual(poor.found, [], what);
  }

  /** Nothing sticks out to the right. */
  async fits(what) {
    const out = await this.page.evaluate(() => {
      const wide = [...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > innerWidth + 1);
      return document.documentElement.scrollWidth > innerWidth ? wide.map((element) => `${element.tagName} ${element.className}`) : [];
    });
    assert.deepEqual(out, [], what);
  }
}
