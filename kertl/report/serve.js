"use strict";
// Sends each image that is dropped or chosen to /explain, and shows the answer beside it.
const drop = document.getElementById("drop");
const chosen = document.getElementById("files");
const state = document.getElementById("state");
const found = document.getElementById("found");

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function picture(address, text) {
  const made = element("img");
  made.src = address;
  made.alt = text;
  return made;
}

function rows(answer) {
  if (answer.error) return [[answer.error, null]];
  if (answer.classes) return answer.classes.map((one) => [one.class, one.probability]);
  if (answer.labels) return answer.labels.length ? answer.labels.map((one) => [one.class, one.probability]) : [["(none)", null]];
  if (answer.label) return [[answer.label, answer.label === answer.positive ? answer.probability : 1 - answer.probability]];
  return Object.entries(answer.targets || {}).map(([name, value]) => [`${name} ${value.toPrecision(6)}`, null]);
}

function nearest(images) {
  const row = element("div");
  row.className = "nearest";
  for (const one of images) {
    const figure = element("figure");
    const told = `${one.label}, similarity ${one.similarity.toFixed(2)}`;
    if (one.picture) figure.append(picture(one.picture, `Training image ${one.file}`));
    figure.append(element("figcaption", one.picture ? told : `${one.file}: ${told}`));
    figure.title = one.file;
    row.append(figure);
  }
  return row;
}

function show(file, answer) {
  const item = element("li");
  const pictures = element("div");
  pictures.append(picture(URL.createObjectURL(file), file.name));
  if (answer.places) {
    pictures.className = "pair";
    pictures.append(picture(answer.places, `Marked: ${answer.places_show}`));
  }
  item.append(pictures);
  for (const [name, probability] of rows(answer)) {
    const line = element("div");
    line.className = "answer";
    line.append(element("span", name));
    if (probability !== null) line.append(element("span", probability.toFixed(3)));
    item.append(line);
    if (probability !== null) {
      const bar = element("meter");
      bar.value = probability;
      bar.setAttribute("aria-label", name);
      item.append(bar);
    }
  }
  if (answer.nearest && answer.nearest.length) {
    item.append(element("h2", "Nearest training images"), nearest(answer.nearest));
  }
  if (answer.note) item.append(element("p", answer.note));
  found.prepend(item);
}

async function ask(files) {
  let done = 0;
  for (const file of files) {
    state.textContent = `Image ${++done} of ${files.length} …`;
    const form = new FormData();
    form.append("image", file);
    try {
      const answered = await fetch("/explain", { method: "POST", body: form });
      const told = await answered.json();
      show(file, told.answers ? told.answers[0] : told);
    } catch (error) {
      show(file, { error: `The server did not answer: ${error.message}` });
    }
  }
  state.textContent = files.length === 1 ? "1 image answered." : `${files.length} images answered.`;
}

chosen.addEventListener("change", () => ask([...chosen.files]));
drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  ask([...event.dataTransfer.files]);
});
fetch("/health").then((answered) => answered.json()).then((told) => {
  document.getElementById("model").textContent = `${told.model}, pictures of ${told.image_size.join(" by ")}`;
});
