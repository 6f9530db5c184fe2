// Where the large picture lies: zoom, pan, mirror, and a divider with another picture beneath.
// All of it stays as it is while pictures are flipped, so that one detail can be followed through the checkpoints.

const stage = document.getElementById("stage");
const divider = document.getElementById("divider");
const view = { scale: 1, x: 0, y: 0, mirrored: false };
const pointers = new Map();
let pressed = null;

function drawStage() {
  const { clientWidth, clientHeight } = pane();
  const reach = (size) => (size * Math.max(view.scale - 1, 0)) / 2;
  view.x = between(-reach(clientWidth), view.x, reach(clientWidth));
  view.y = between(-reach(clientHeight), view.y, reach(clientHeight));
  const mirror = view.mirrored ? "scaleX(-1)" : "";
  const transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale}) ${mirror}`;
  for (const image of stage.querySelectorAll("img")) image.style.transform = transform;
  stage.style.setProperty("--split", `${divider.value}%`);
  document.getElementById("zoom").textContent = `${Math.round(view.scale * fitting() * 100)}%`;
  document.getElementById("mirror").setAttribute("aria-pressed", String(view.mirrored));
}

// Each picture has a pane; all panes are of one size, and what is done in one is done in all.
function pane() {
  return document.getElementById("picture").parentElement;
}

// Pixels of the screen that one pixel of the picture takes where the whole picture is seen.
function fitting() {
  const [width, height] = data.cells[cellId()].size;
  const { clientWidth, clientHeight } = pane();
  return width ? Math.min(clientWidth / width, clientHeight / height) * devicePixelRatio : 1;
}

function between(low, value, high) {
  return Math.min(Math.max(value, low), high);
}

// Zoom by a factor so that the point (px from the stage's middle) stays where it is.
function zoom(factor, x = 0, y = 0) {
  const scale = between(Math.min(1, 1 / fitting()), view.scale * factor, Math.max(16, 8 / fitting()));
  const by = scale / view.scale;
  Object.assign(view, { scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by });
  drawStage();
}

function pan(x, y) {
  view.x += x;
  view.y += y;
  drawStage();
}

function resetZoom() {
  Object.assign(view, { scale: 1, x: 0, y: 0 });
  drawStage();
}

// One pixel of the picture on one of the screen: 100 %.
function showPixels() {
  zoom(1 / fitting() / view.scale);
}

function mirror() {
  view.mirrored = !view.mirrored;
  drawStage();
}

function moveDivider(percent) {
  divider.value = Number(divider.value) + percent;
  drawStage();
}

function fromMiddle({ clientX, clientY }) {
  const panes = [...stage.querySelectorAll(".pane")].map((one) => one.getBoundingClientRect());
  const box = panes.find(({ left, right, top, bottom }) => left <= clientX && clientX < right && top <= clientY && clientY < bottom)
    ?? pane().getBoundingClientRect();
  return [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
}

function spread() {
  const [one, other] = [...pointers.values()];
  const middle = { clientX: (one.clientX + other.clientX) / 2, clientY: (one.clientY + other.clientY) / 2 };
  return { apart: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY), at: fromMiddle(middle) };
}

stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...fromMiddle(event));
}, { passive: false });

stage.addEventListener("dblclick", (event) => {
  if (view.scale > 1) resetZoom();
  else zoom(3, ...fromMiddle(event));
});

stage.addEventListener("pointerdown", (event) => {
  if (event.target === divider) return;
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
  pressed = { x: event.clientX, y: event.clientY, dividing: event.target.id === "handle", alone: pointers.size === 1 };
});

stage.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  if (pointers.size === 2) {
    const was = spread();
    pointers.set(event.pointerId, event);
    const is = spread();
    pan(is.at[0] - was.at[0], is.at[1] - was.at[1]);
    zoom(is.apart / was.apart, ...is.at);
    return;
  }
  pointers.set(event.pointerId, event);
  if (pressed.dividing) moveDivider(((event.clientX - before.clientX) / stage.clientWidth) * 100);
  else pan(event.clientX - before.clientX, event.clientY - before.clientY);
});

for (const end of ["pointerup", "pointercancel"]) {
  stage.addEventListener(end, (event) => {
    pointers.delete(event.pointerId);
    if (end === "pointerup" && event.pointerType === "touch" && pressed.alone && !pressed.dividing && view.scale <= 1) {
      swipe(event.clientX - pressed.x, event.clientY - pressed.y);
    }
  });
}

// A finger drawn across the whole picture turns to the next one.
function swipe(x, y) {
  if (Math.max(Math.abs(x), Math.abs(y)) < 40) return;
  if (Math.abs(x) > Math.abs(y)) flip(x < 0 ? 1 : -1, 0);
  else flip(0, y < 0 ? 1 : -1);
}

divider.addEventListener("input", drawStage);
addEventListener("resize", () => { if (viewer.open) drawStage(); });
