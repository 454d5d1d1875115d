"use strict";
const main = document.querySelector("main");
const cards = [...main.children];
const sort = document.getElementById("sort"), order = document.getElementById("order");
const flagged = document.getElementById("flagged");
const names = new Intl.Collator(undefined, {numeric: true});
let descending = false;

function compare(a, b) {
  const by = sort.value, sign = descending ? -1 : 1;
  if (by === "name") return sign * names.compare(a.dataset.name, b.dataset.name);
  if (by === "first") return sign * (a.dataset.first - b.dataset.first);
  // Scans without the measure stay at the end, whichever way.
  const x = a.dataset[by], y = b.dataset[by];
  return x === "" || y === "" ? (x === "") - (y === "") : sign * (x - y);
}

function show() {
  main.append(...cards.sort(compare));
  let shown = 0;
  for (const card of cards) {
    card.hidden = flagged.checked && !card.classList.contains("flagged");
    shown += !card.hidden;
  }
  order.textContent = descending ? "↓ descending" : "↑ ascending";
  document.getElementById("count").textContent = `${shown} of ${cards.length} shown`;
}

sort.addEventListener("change", show);
flagged.addEventListener("change", show);
order.addEventListener("click", () => { descending = !descending; show(); });
for (const name of ["brain", "template"]) {
  const box = document.getElementById(name);
  const toggle = () => document.body.classList.toggle("no-" + name, !box.checked);
  if (box) { box.addEventListener("change", toggle); toggle(); }
}
document.addEventListener("click", event => {
  const dot = event.target.closest(".axis a");
  const card = dot && document.getElementById(dot.hash.slice(1));
  if (card && card.hidden) { flagged.checked = false; show(); }
});
document.querySelector("nav").hidden = false;
show();
