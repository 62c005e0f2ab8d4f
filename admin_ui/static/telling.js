// For pages that renew themselves: says what has changed in them to who does not see it
// change. Renewed as a whole nothing would be said, or all of it every few seconds.
"use strict";
{
  // What is counted and how long it has lasted changes all the time, and is no news.
  const kind = (text) =>
    text.replace(/[\d.,\u202f]+( ?(ms|s|min|h|d)\b)?/g, "#").replace(/#[# ]*/g, "# ").trim();
  const look = () =>
    new Map(
      [...document.querySelectorAll("[data-tell]")].map((one) => {
        const said = one.textContent.replace(/\s+/g, " ").trim();
        return [kind(said), { said, about: one.dataset.tell }];
      }),
    );
  let known = look();
  const tell = () => {
    const now = look();
    const still = new Set([...now.values()].map((one) => one.about));
    const over = [...known.values()].filter(({ about }) => about && !still.has(about));
    const begun = [...now].filter(([key]) => !known.has(key));
    known = now;
    const said = [
      ...over.map((one) => `Over: ${one.said}`),
      ...begun.map(([, one]) => one.said),
    ];
    if (said.length) document.getElementById("told").textContent = said.join(" ");
  };
  // Several parts of a page are renewed at once.
  let soon = 0;
  document.addEventListener("htmx:afterSettle", () => {
    clearTimeout(soon);
    soon = setTimeout(tell, 100);
  });
}
