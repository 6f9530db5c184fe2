// What a large picture is held against: a divider, a map of the difference, or whole pictures side by side.

const LISTED_AT_MOST = 2000; // Nobody finds a picture in a longer list, and it takes a second to build.
const LOOKS = ["divider", "difference", "beside"];
const BESIDE_AT_MOST = 4;
const compared = { other: "", look: "divider", count: 2 };
const besides = [...stage.querySelectorAll(".beside")];

function listOthers() {
  const group = (label, options) => {
    const element = Object.assign(document.createElement("optgroup"), { label });
    element.append(...options.map(([value, name]) => new Option(name, value)));
    return options.length ? [element] : [];
  };
  const listed = cellElements.size <= LISTED_AT_MOST ? columns() : [];
  const cells = listed.flatMap((column) => data.rows.map((row, index) => [`cell ${cellId(column, index)}`, `${columnName(column)}, ${row.id}`]));
  part("other").replaceChildren(
    new Option("nothing", ""),
    ...group("The same prompt", columns().map((column) => [`column ${column}`, columnName(column)])),
    ...group("Another strength", data.strengths.map((at) => [`strength ${at}`, atStrength("this checkpoint", at)])),
    ...group("Training images", references.map((_, index) => [`reference ${index}`, `training image ${index + 1}`])),
    ...group("Nearest to this picture", [["nearest", "nearest training image"]].filter(() => !isBlind() && anyNearest())),
    ...group("Any picture", cells),
  );
  if (![...part("other").options].some(({ value }) => value === compared.other)) compared.other = "";
  part("other").value = compared.other;
}

function anyNearest() {
  return Object.values(data.cells).some((cell) => cell.nearest?.src);
}

function compareWith(other) {
  compared.other = other;
  part("other").value = other;
  drawViewer();
}

function lookBy(look) {
  if (look === "beside") {
    const on = compared.look === "beside";
    compared.count = on ? compared.count + 1 : 2;
    compared.look = compared.count > BESIDE_AT_MOST ? "divider" : "beside";
  } else {
    compared.look = look;
    if (!compared.other) compared.other = "column baseline";
    part("other").value = compared.other;
  }
  drawViewer();
  drawStage();
}

function drawCompared() {
  const name = drawOther();
  const beside = compared.look === "beside";
  const pairs = name !== "" && !beside;
  stage.classList.toggle("divided", pairs && compared.look === "divider");
  stage.classList.toggle("differing", pairs && compared.look === "difference");
  stage.classList.toggle("abreast", beside);
  divider.hidden = !pairs || compared.look !== "divider";
  part("tag").textContent = columnName(shown.column);
  part("beside-count").textContent = beside ? `: ${compared.count}` : "";
  for (const button of viewer.querySelectorAll("[data-look]")) {
    button.setAttribute("aria-pressed", String(button.dataset.look === compared.look && (beside || pairs)));
  }
  drawBeside(beside, name !== "");
}

function drawOther() {
  const [kind, ...rest] = compared.other.split(" ");
  const id = rest.join(" ");
  const nearest = isBlind() ? null : data.cells[cellId()].nearest;
  const reference = kind === "reference" ? references[id]?.src : kind === "nearest" ? nearest?.src : null;
  const image = part("other-picture");
  let name = "";
  if (kind === "column" || kind === "cell" || kind === "strength") {
    const otherId = kind === "column" ? cellId(id) : kind === "strength" ? cellId(shown.column, shown.row, id) : id;
    name = kind === "strength" ? atStrength(columnName(shown.column), data.cells[otherId].strength) : columnName(data.cells[otherId].column);
    showCell(image, otherId);
  } else if (reference) {
    name = kind === "nearest" ? `nearest: ${nearest.name}` : `training image ${Number(id) + 1}`;
    Object.assign(image, { src: reference, alt: name, hidden: false });
    Object.assign(image.dataset, { cell: "", loaded: "" });
  }
  part("other-tag").textContent = name;
  return name;
}

// Left what it is compared with, where that is chosen; then this picture, and the columns after it.
function drawBeside(beside, withOther) {
  stage.classList.toggle("with-other", beside && withOther);
  const order = columns();
  const from = order.indexOf(shown.column);
  const count = beside ? Math.min(compared.count, order.length) - 1 - (withOther ? 1 : 0) : 0;
  for (const [index, pane] of besides.entries()) {
    pane.hidden = index >= count;
    if (pane.hidden) continue;
    const column = order[(from + 1 + index) % order.length];
    showCell(pane.firstElementChild, cellId(column));
    pane.lastElementChild.textContent = columnName(column);
  }
  stage.style.setProperty("--panes", beside ? count + 1 + (withOther ? 1 : 0) : 1);
}

// What was looked at before has a name that blind judging hides.
function clearStage() {
  Object.assign(compared, { other: "", look: "divider" });
  for (const image of stage.querySelectorAll("img")) {
    Object.assign(image, { alt: "", src: "data:," });
    Object.assign(image.dataset, { cell: "", loaded: "" });
  }
  for (const tag of stage.querySelectorAll(".tag")) tag.textContent = "";
}

// Each key names what to compare with; pressed again, it goes to the next of its kind, then back to nothing.
function toggleOther(kind) {
  const options = [...part("other").options].map((option) => option.value).filter((value) => value.startsWith(kind));
  if (!options.length) return tellHere(kind === "nearest" && isBlind() ? "Not while you judge blind: it would show which checkpoint is which." : "There is nothing of this kind to compare with.");
  return compareWith(options[options.indexOf(compared.other) + 1] ?? "");
}

part("other").addEventListener("change", ({ target }) => compareWith(target.value));
