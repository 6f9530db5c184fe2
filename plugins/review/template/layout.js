// How the matrix is laid out: how large, which columns and rows. A matter of the moment, and no part of the ballot.

const SIZES = { small: 110, medium: 200, large: 380 };
const LEAST = 150; // Narrower columns are not shown side by side, they swipe.
const matrix = document.getElementById("look");
const away = new Set();
let rows = "all";

function layOut() {
  const leads = Number(review.style.getPropertyValue("--leads"));
  const count = data.checkpoints.length - away.size;
  const style = getComputedStyle(review);
  const room = review.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const narrow = innerWidth <= 760;
  const wanted = SIZES[document.getElementById("size").value];
  const fits = room / (leads + count) >= (wanted ?? LEAST);
  const column = wanted ?? (narrow ? Math.min(Math.max(150, innerWidth * 0.52), 230) : 170);
  review.classList.toggle("swipes", !fits);
  review.classList.toggle("sized", fits && wanted !== undefined);
  review.style.setProperty("--shown", count);
  review.style.setProperty("--column", `${column}px`);
  review.style.setProperty("--lead", `${narrow ? 76 : Math.min(column, LEAST)}px`);
}

function drawLayout() {
  for (const cell of matrix.querySelectorAll("[data-column]")) cell.classList.toggle("away", away.has(cell.dataset.column));
  for (const body of matrix.querySelectorAll("tbody:not(.judge)")) body.hidden = rows === "flagged" && !body.querySelector(".flag");
  review.classList.toggle("quiet", rows === "quiet");
  layOut();
}

// Blind, the menu's order and names are the columns'; nothing is away, and nothing is picked by what was flagged.
function drawMenu() {
  const blind = isBlind();
  if (blind && (away.size || rows !== "all")) {
    away.clear();
    rows = document.getElementById("rows").value = "all";
    drawLayout();
  }
  document.getElementById("rows").disabled = blind;
  const menu = document.getElementById("columns");
  const labels = new Map([...menu.children].map((label) => [label.dataset.column, label]));
  const wanted = allColumns().slice(1).map((id) => labels.get(id));
  if (wanted.some((label, index) => label !== menu.children[index])) menu.append(...wanted);
  for (const [id, label] of labels) {
    label.firstElementChild.checked = !away.has(id);
    label.lastElementChild.textContent = columnName(id);
  }
}

document.getElementById("size").addEventListener("change", layOut);
document.getElementById("rows").addEventListener("change", ({ target }) => {
  rows = target.value;
  drawLayout();
});
document.getElementById("columns").addEventListener("change", ({ target }) => {
  if (target.checked) away.delete(target.value);
  else if (away.size < data.checkpoints.length - 1) away.add(target.value);
  target.checked = !away.has(target.value);
  drawLayout();
});
// Scrolled within, the matrix keeps the columns' names in the window.
matrix.addEventListener("scroll", () => {
  const { top } = matrix.getBoundingClientRect();
  if (review.classList.contains("swipes") && top < 0) scrollBy(0, top);
}, { passive: true });
// On a phone what is seldom needed is folded away.
const narrowly = matchMedia("(max-width: 760px)");
const foldView = () => { review.querySelector(".view").open = !narrowly.matches; };
narrowly.addEventListener("change", foldView);
foldView();
addEventListener("resize", layOut);
layOut();
draws.push(drawMenu);
