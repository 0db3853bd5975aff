// Pictures while they load: a blurred placeholder from the thumbhash (evanw.github.io/thumbhash), a soft fade to the
// picture, one fresh link when a signed one has run out, and words where there is no picture.

// Pixels of a thumbhash: a few cosine terms each for lightness (l), yellow-blue (p), red-green (q) and opacity (a).
function pixels(hash) {
  const byte = Uint8Array.from(atob(hash), (c) => c.charCodeAt(0));
  const head = byte[0] | (byte[1] << 8) | (byte[2] << 16);
  const tail = byte[3] | (byte[4] << 8);
  const opaque = !(head >> 23);
  const landscape = tail >> 15;
  const long = opaque ? 7 : 5;
  const short = tail & 7;
  const terms = landscape ? [long, short] : [short, long];
  let nibble = opaque ? 10 : 12;

  const channel = (mean, nx, ny, scale) => {
    const factors = [];
    for (let y = 0; y < ny; y++) {
      for (let x = y ? 0 : 1; x * ny < nx * (ny - y); x++, nibble++) {
        const bits = (byte[nibble >> 1] >> (nibble & 1 ? 4 : 0)) & 15;
        factors.push([x, y, (bits / 7.5 - 1) * scale * 2]);
      }
    }
    return { mean, factors };
  };
  const l = channel((head & 63) / 63, Math.max(3, terms[0]), Math.max(3, terms[1]), ((head >> 18) & 31) / 31);
  const p = channel(((head >> 6) & 63) / 31.5 - 1, 3, 3, (((tail >> 3) & 63) / 63) * 1.25);
  const q = channel(((head >> 12) & 63) / 31.5 - 1, 3, 3, (((tail >> 9) & 63) / 63) * 1.25);
  const a = opaque ? { mean: 1, factors: [] } : channel((byte[5] & 15) / 15, 5, 5, (byte[5] >> 4) / 15);

  const ratio = terms[0] / terms[1];
  const width = Math.round(ratio > 1 ? 32 : 32 * ratio);
  const height = Math.round(ratio > 1 ? 32 / ratio : 32);
  const wave = (size) => Array.from({ length: size }, (_, at) =>
    Array.from({ length: 7 }, (_, n) => Math.cos((Math.PI / size) * (at + 0.5) * n)));
  const across = wave(width);
  const down = wave(height);
  const image = new ImageData(width, height);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = ({ mean, factors }) => factors.reduce((sum, [cx, cy, f]) => sum + f * across[x][cx] * down[y][cy], mean);
      const light = at(l), yellow = at(p), red = at(q);
      const b = light - (2 / 3) * yellow;
      const r = (3 * light - b + red) / 2;
      for (const value of [r, r - red, b, at(a)]) image.data[i++] = value * 255;
    }
  }
  return image;
}

function canvas(hash) {
  const image = pixels(hash);
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function place(img) {
  if (img.complete && img.naturalWidth) return;
  if (img.complete && img.src) refresh(img);
  let placeholder;
  try {
    placeholder = canvas(img.dataset.hash);
  } catch {
    return; // No hash, or not one: the average colour stays.
  }
  if (img.closest(".tile")) {
    img.before(placeholder);
  } else {
    // On the stage the picture is fitted, so the placeholder takes the place of the colour in the picture's own box.
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "image");
    for (const [name, value] of Object.entries({ href: placeholder.toDataURL(), width: "100%", height: "100%", preserveAspectRatio: "none" }))
      picture.setAttribute(name, value);
    img.previousElementSibling.append(picture);
    placeholder = null;
  }
  img.classList.add("waiting");
  img.addEventListener("load", () => {
    img.classList.remove("waiting");
    setTimeout(() => placeholder?.remove(), 300);
  }, { once: true });
}

function refresh(img) {
  const id = img.closest("[data-id]")?.dataset.id;
  if (!id || img.dataset.tried) return miss(img);
  img.dataset.tried = "1";
  img.removeAttribute("srcset");
  img.src = `/photos/${id}/${img.dataset.rendition ?? "thumb"}`;
}

// The placeholder stays, or the colour, and says that there is nothing else.
function miss(img) {
  img.classList.remove("waiting");
  if (img.matches(".broken")) return;
  img.classList.add("broken");
  if (img.closest(".thumb")) return; // Too small for words; the line beside it has them.
  img.after(Object.assign(document.createElement("span"), { className: "missing", textContent: "Picture missing" }));
}

document.addEventListener("error", ({ target }) => target.matches?.("img[data-hash]") && refresh(target), true);

// Decoding waits until a picture comes near, so that a page of many costs nothing it does not show.
const near = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    place(target);
  }
}, { rootMargin: "600px" });
const watch = (root) => root.querySelectorAll("img[data-hash]").forEach((img) => near.observe(img));

document.addEventListener("photos:shown", ({ detail }) => detail.forEach(watch));
watch(document);
