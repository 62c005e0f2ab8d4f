// For pages that renew themselves: says that what they show is old when they cannot, and
// keeps what somebody unfolded, wrote, or scrolled to.
"use strict";
const part = (name) => document.getElementById(`stale${name}`);
const stale = (is, why = "", said = "") => {
  part("").hidden = !is;
  for (const one of ["gone", "late"]) part(`-${one}`).hidden = one !== why;
  // Written anew it would be read aloud anew.
  if (part("-said").textContent !== said) part("-said").textContent = said;
};
// The pages for what went wrong say it in their heading.
const heading = (page) => {
  const found = new DOMParser().parseFromString(page, "text/html").querySelector("h1");
  return found ? `${found.textContent}.` : "";
};
// Whether there is nobody, or somebody who does not answer, is not the same fault.
document.addEventListener("htmx:sendError", () => stale(true, "gone"));
document.addEventListener("htmx:timeout", () => stale(true, "late"));
document.addEventListener("htmx:responseError", (event) => {
  const said = heading(event.detail.xhr.responseText);
  stale(true, said ? "" : "gone", said);
});
document.addEventListener("htmx:afterSwap", () => stale(false));

const touched = (form) =>
  form.querySelector("details[open]") !== null ||
  [...form.querySelectorAll("input[type=text]")].some((one) => one.value);
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
});

const scrolled = new Map();
document.addEventListener("htmx:beforeSwap", () => {
  for (const { id, scrollLeft, scrollTop } of document.querySelectorAll("main [tabindex][id]")) {
    scrolled.set(id, [scrollLeft, scrollTop]);
  }
});
for (const name of ["htmx:oobAfterSwap", "htmx:afterSwap"]) {
  document.addEventListener(name, () => {
    for (const [id, to] of scrolled) document.getElementById(id)?.scrollTo(...to);
  });
}
