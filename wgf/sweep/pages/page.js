"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// the time slider: every frame holds the points of the curves that move, and a text
const film = document.getElementById("frames");
if (film) {
  const frames = JSON.parse(film.textContent);
  const [slider, now, play] = ["time", "now", "play"].map((id) => document.getElementById(id));
  let timer = 0;
  const show = () => {
    const frame = frames[slider.value];
    for (const [name, points] of Object.entries(frame.curves))
      document.querySelector(`[data-curve="${name}"]`).setAttribute("points", points);
    now.textContent = frame.text;
    slider.setAttribute("aria-valuetext", frame.text);
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  const next = () => {
    slider.value = Number(slider.value) + 1;
    show();
    if (slider.value === slider.max) stop();
  };
  slider.addEventListener("input", () => { stop(); show(); });
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) { slider.value = 0; show(); }
    play.textContent = "Pause";
    timer = setInterval(next, Math.max(40, 4000 / frames.length));
  });
  show();
  slider.closest(".slider").hidden = false;
}

// columns that sort: numbers by data-value, else texts; cells without a number come last
for (const button of all("th button")) button.addEventListener("click", () => {
  const head = button.closest("th"), column = head.cellIndex, body = head.closest("table").tBodies[0];
  const falling = head.getAttribute("aria-sort") === "ascending";
  const value = (row) => row.cells[column].dataset.value;
  const order = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === undefined && y === undefined)
      return (falling ? -1 : 1) * a.cells[column].textContent.localeCompare(b.cells[column].textContent);
    if (x === undefined || y === undefined) return x === undefined ? 1 : -1;
    return falling ? y - x : x - y;
  };
  for (const other of all("th", head.parentNode)) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  body.append(...[...body.rows].sort(order));
});

// a picture in full size, and back
for (const button of all(".picture")) button.addEventListener("click", () =>
  button.setAttribute("aria-expanded", button.closest("figure").classList.toggle("whole")));

// a hint below what scrolls sideways
const hint = () => all(".wide").forEach((part) => part.classList.toggle("scrolls", part.scrollWidth > part.clientWidth));
addEventListener("resize", hint);
all("details").forEach((part) => part.addEventListener("toggle", hint));
hint();

// copy a command; where the browser forbids it, select the text
for (const button of all(".command button")) button.addEventListener("click", async () => {
  const code = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
  }
});
