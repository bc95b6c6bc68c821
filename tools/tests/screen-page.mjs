// Usage: node screen-page.mjs URL PLAYWRIGHT_CORE SCREENSHOT.png [PASSWORD]
//
// Drives the page in headless Chromium: waits for the connection, prints the colours of the picture's
// test bars, moves the pointer, types, presses Ctrl-Alt-Del, waits for the answer to a key, keeps a
// screenshot, presses the power button, and waits for the end of the connection.
import { createRequire } from "node:module";
import path from "node:path";

const [url, playwright, screenshot, password] = process.argv.slice(2);
const { chromium } = createRequire(path.join(playwright, "package.json"))("playwright-core");

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
const page = await browser.newPage({
  viewport: { width: 1000, height: 760 },
  ignoreHTTPSErrors: true,
});
page.on("pageerror", (error) => console.log(`error ${error.message}`));
page.setDefaultTimeout(30000);
try {
  await page.goto(url);
  if (password !== undefined) {
    await page.waitForSelector("#login:not([hidden])");
    await page.fill("#password", password);
    await page.click("#login button");
  }
  await page.waitForSelector("#state.connected");
  await page.waitForSelector("#screen canvas");
  console.log(`title ${await page.title()}`);
  await page.waitForFunction(() => {
    const canvas = document.querySelector("#screen canvas");
    return canvas.getContext("2d").getImageData(150, 530, 1, 1).data[0] === 255;
  });
  // One for each key.
  await page.evaluate(() => {
    window.squares = () => {
      const context = document.querySelector("#screen canvas").getContext("2d");
      return [...Array(40).keys()].filter((i) => context.getImageData(i * 20 + 5, 585, 1, 1).data[0]).length;
    };
  });
  const bars = await page.evaluate(() => {
    const context = document.querySelector("#screen canvas").getContext("2d");
    return [...Array(8).keys()]
      .map((i) => [...context.getImageData(i * 100 + 50, 530, 1, 1).data].slice(0, 3).join(","))
      .join(" ");
  });
  console.log(`bars ${bars}`);
  const before = await page.evaluate(() => squares());
  await page.locator("#screen canvas").click({ position: { x: 40, y: 30 } });
  await page.keyboard.type("Az");
  await page.click("#ctrl-alt-del");
  await page.waitForFunction((before) => squares() > before, before);
  console.log("answered");
  await page.screenshot({ path: screenshot });
  await page.click("#power");
  await page.waitForSelector("#state.disconnected");
  console.log("gone");
} finally {
  await browser.close();
}
