// For pages that renew themselves: says that what they show is old when they cannot, and
// keeps what somebody unfolded, wrote, or scrolled to.
"use strict";
const part = (name) => document.getElementById(`stale${name}`);
const stale = (is, said = "") => {
  part("").hidden = !is;
  part("-gone").hidden = said !== "";
  // Written anew it would be read aloud anew.
  if (part("-said").textContent !== said) part("-said").textContent = said;
};
// The pages for what went wrong say it in their heading.
const heading = (page) => {
  const found = new DOMParser().parseFromString(page, "text/html").querySelector("h1");
  return found ? `${found.textContent}.` : "";
};
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => stale(true));
}
document.addEventListener("htmx:responseError", (event) => {
  stale(true, heading(event.detail.xhr.responseText));
});
document.addEventListener("htmx:afterSwap", () => stale(false));

const touched = (form) =>
  form.querySelector("details[open]") !== null ||
  [...form.querySelectorAll("input[type=text]")].some((one) => one.value);
const scrolled = new Map();
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target, fragment } = event.detail;
  if (target.matches("[data-forms]")) {
    // Nothing is taken from under somebody's hands, and nothing without need.
    const made = fragment.firstElementChild.firstElementChild;
    event.detail.shouldSwap = !touched(target) && !target.firstElementChild.isEqualNode(made);
    return;
  }
  for (const old of target.querySelectorAll("details[open]")) {
    fragment.querySelector(`#${old.id}`)?.setAttribute("open", "");
  }
  for (const old of target.querySelectorAll("[tabindex]")) scrolled.set(old.id, old.scrollTop);
});
document.addEventListener("htmx:oobAfterSwap", () => {
  for (const [id, top] of scrolled) document.getElementById(id)?.scrollTo(0, top);
  scrolled.clear();
});
