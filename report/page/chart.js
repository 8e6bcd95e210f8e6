// Learning curves that answer mouse, finger and keyboard: one chart for every <div class="chart">,
// from the JSON that follows it. Without this script the page shows the figure drawn beforehand.
"use strict";

(() => {
  const MARGIN = { top: 10, right: 14, bottom: 46, left: 78 };
  const HEIGHT = 380;
  const NEAR = 40; // pixels between the pointer and the point it means
  const EMPTY = "Nothing to show: choose runs and a split.";
  const NO_VALUES = "Nothing to show: the chosen runs have no finite values here.";
  const NO_SECONDS = "Nothing to show: the chosen runs have no seconds that count, or no finite values.";
  // The markers of the drawn figures, by matplotlib's letters, as paths around 0.
  const MARKERS = {
    o: "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", s: "M-3-3h6v6h-6z", "^": "M0-4L4 3h-8z", v: "M0 4L4-3h-8z",
    "<": "M-4 0L3-4v8z", ">": "M4 0L-3-4v8z", D: "M0-4L4 0 0 4-4 0z", d: "M0-4.5L2.7 0 0 4.5-2.7 0z",
    P: "M-1.5-4h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5v-3h2.5z",
    X: "M-2.5-4L0-1.5 2.5-4 4-2.5 1.5 0 4 2.5 2.5 4 0 1.5-2.5 4-4 2.5-1.5 0-4-2.5z",
    "*": "M0-5l1.2 3.4h3.6l-2.9 2.2 1 3.5L0 2.1l-2.9 2 1-3.5-2.9-2.2h3.6z",
    p: "M0-4l3.8 2.8-1.5 4.4h-4.6l-1.5-4.4z", h: "M0-4l3.5 2v4L0 4l-3.5-2v-4z",
    8: "M-1.6-4h3.2l2.4 2.4v3.2L1.6 4h-3.2L-4 1.6v-3.2z",
  };
  const AXES = { epochs: "epoch", seconds: "seconds since training began" };

  function element(parent, name, attributes = {}, text = "") {
    const space = parent instanceof SVGElement || name === "svg" ? "http://www.w3.org/2000/svg" : null;
    const made = space ? document.createElementNS(space, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    return parent.appendChild(made);
  }

  function written(value, metric) {
    if (metric.percent) return `${(100 * value).toFixed(2)} %`;
    if (Math.abs(value) >= 1e6) return value.toExponential(2);
    const digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 10 ? 2 : 3;
    return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  // Ticks at 1, 2 or 5 times a power of ten; on a logarithmic axis at as many of those as fit.
  function ticksOf(low, high, wanted, log) {
    if (log) {
      for (const parts of [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
        const found = [];
        for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
          for (const part of parts)
            if (part * 10 ** power >= low && part * 10 ** power <= high) found.push(part * 10 ** power);
        if (found.length <= wanted + 1 && found.length > 1) return found;
        if (parts.length === 1 && found.length > 1)
          return found.filter((_, index) => index % Math.ceil(found.length / wanted) === 0);
      }
    }
    const rough = (high - low) / wanted;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((part) => part * power >= rough);
    const found = [];
    for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step)
      found.push(Number(tick.toPrecision(12)));
    return found;
  }

  // From values to pixels; `room` is the share of the axis that stays free at both of its ends.
  function scaleOf(values, from, to, log, room) {
    const place = log ? Math.log : (value) => value, back = log ? Math.exp : (value) => value;
    let low = place(Math.min(...values)), high = place(Math.max(...values));
    const spare = high === low ? Math.abs(low) / 2 || 1 : (high - low) * room;
    [low, high] = [low - spare, high + spare];
    const scale = (value) => from + ((place(value) - low) / (high - low)) * (to - from);
    return Object.assign(scale, { low: back(low), high: back(high) });
  }

  class Chart {
    constructor(box) {
      this.data = JSON.parse(document.getElementById(box.dataset.curves).textContent);
      this.box = box;
      this.axis = box.dataset.axis;
      this.metric = this.data.metrics[0];
      this.splits = new Set(["validation"]);
      // One comparison at a time: runs of 10 and of 50 epochs share no axis well.
      this.shown = new Set(this.data.sets[0]?.runs);
      this.focused = null; // the point that the tip describes
      this.controls();
      this.plot = element(box, "div", {
        class: "plot", tabindex: 0, role: "application", "aria-roledescription": "chart",
        "aria-label": `${box.dataset.title}. Left and right arrows walk along a curve, up and down change the curve, Escape closes.`,
      });
      this.tip = element(this.plot, "div", { class: "tip", "aria-hidden": "true", hidden: "" });
      this.spoken = element(box, "div", { class: "spoken", role: "status" });
      this.legend();
      this.listen();
      new ResizeObserver(() => this.draw()).observe(this.plot);
      box.classList.add("live");
    }

    controls() {
      const bar = element(this.box, "div", { class: "controls" });
      const choice = (label, options, chosen, choose) => {
        const group = element(bar, "div", { class: "choice", role: "group", "aria-label": label });
        const buttons = options.map(([value, text]) => {
          const button = element(group, "button", { type: "button" }, text);
          button.addEventListener("click", () => { choose(value); mark(); this.draw(); });
          return [value, button];
        });
        const mark = () => buttons.forEach(([value, button]) => button.setAttribute("aria-pressed", chosen(value)));
        mark();
      };
      choice("Score", this.data.metrics.map((metric) => [metric, metric.name]),
        (metric) => this.metric === metric, (metric) => { this.metric = metric; });
      choice("Horizontal axis", [["epochs", "over epochs"], ["seconds", "over seconds"]],
        (axis) => this.axis === axis, (axis) => { this.axis = axis; });
      choice("Split", [["train", "training (dashed)"], ["validation", "validation (solid)"]], (split) => this.splits.has(split),
        (split) => this.splits.has(split) ? this.splits.delete(split) : this.splits.add(split));
    }

    legend() {
      const bar = element(this.box, "div", { class: "legend", role: "group", "aria-label": "Runs" });
      const buttons = this.data.runs.map((run) => {
        const button = element(bar, "button", { type: "button", class: "run" });
        this.colour(button, run);
        const swatch = element(button, "svg", { width: 22, height: 10, "aria-hidden": "true" });
        element(swatch, "path", { d: "M0 5H22", class: "line" });
        this.mark(swatch, run, 11, 5);
        element(button, "span", {}, run.name);
        button.addEventListener("click", () => {
          this.shown.has(run.name) ? this.shown.delete(run.name) : this.shown.add(run.name);
          pressed();
        });
        button.addEventListener("pointerenter", () => this.emphasise(run.name));
        button.addEventListener("pointerleave", () => this.emphasise(null));
        return button;
      });
      const pressed = () => {
        buttons.forEach((button, index) => button.setAttribute("aria-pressed", this.shown.has(this.data.runs[index].name)));
        this.draw();
      };
      const names = this.data.runs.map((run) => run.name);
      const some = this.data.sets.filter((set) => set.runs.length < names.length);
      const sets = [...some, { title: "all", runs: names }, { title: "none", runs: [] }];
      const row = element(this.box, "div", { class: "sets", role: "group", "aria-label": "Sets of runs" });
      element(row, "span", {}, "Show");
      for (const set of sets)
        element(row, "button", { type: "button" }, set.title).addEventListener("click", () => {
          this.shown = new Set(set.runs);
          pressed();
        });
      pressed();
    }

    // The curves that are on: points of the chosen score, axis and splits.
    curves() {
      const found = [];
      // Runs that are compared have their seconds of one machine, if there is one.
      const set = this.data.sets.find((one) => [...this.shown].every((name) => one.runs.includes(name)));
      for (const run of this.data.runs) {
        if (!this.shown.has(run.name)) continue;
        for (const split of Object.keys(run.splits)) {
          if (!this.splits.has(split)) continue;
          const rows = run.splits[split], values = rows[this.metric.name];
          const elsewhere = set?.elsewhere[run.name], seconds = elsewhere?.[split] ?? rows.seconds;
          const places = this.axis === "seconds" ? seconds : rows.epochs;
          const range = rows[`${this.metric.name} range`], seeds = rows[`${this.metric.name} seeds`];
          const points = rows.epochs.flatMap((epoch, index) => values[index] === null || places[index] === null ? [] : [{
            epoch, index, seconds: seconds[index], x: places[index], y: values[index],
            range: range && range[index], seeds: seeds && seeds[index],
          }]);
          if (points.length) found.push({ run, split, points, machine: (elsewhere ?? run).machine });
        }
      }
      return found;
    }

    // Why there are no curves.
    reason() {
      if (!this.shown.size || !this.splits.size) return EMPTY;
      return this.axis === "seconds" ? NO_SECONDS : NO_VALUES;
    }

    draw() {
      const width = this.plot.clientWidth;
      if (!width) return;
      this.tip.hidden = true;
      this.svg?.remove();
      this.svg = element(this.plot, "svg", { width, height: HEIGHT, "aria-hidden": "true", focusable: "false" });
      this.lines = this.curves();
      if (!this.lines.length) {
        element(this.svg, "text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, this.reason());
        return;
      }
      const points = this.lines.flatMap((line) => line.points);
      const heights = points.flatMap((point) => point.range ?? [point.y]);
      const log = this.metric.log && Math.min(...heights) > 0;
      const ends = this.axis === "seconds" ? [0] : [];
      this.x = scaleOf([...ends, ...points.map((point) => point.x)], MARGIN.left, width - MARGIN.right, false, 0);
      this.y = scaleOf(heights, HEIGHT - MARGIN.bottom, MARGIN.top, log, 0.04);
      this.axes(width, log);
      this.lines.forEach((line) => this.curve(line));
      this.ring = element(this.svg, "circle", { r: 7, class: "ring", visibility: "hidden" });
    }

    axes(width, log) {
      const bottom = HEIGHT - MARGIN.bottom, middle = (MARGIN.top + bottom) / 2;
      for (const tick of ticksOf(this.y.low, this.y.high, 6, log)) {
        const y = this.y(tick);
        element(this.svg, "line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y, class: "grid" });
        const plain = tick < 1e6 ? tick.toLocaleString("en", { maximumSignificantDigits: 6 }) : Number(tick.toPrecision(6)).toExponential();
        const text = this.metric.percent ? `${Number((100 * tick).toPrecision(6))} %` : plain;
        element(this.svg, "text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, text);
      }
      for (const tick of ticksOf(this.x.low, this.x.high, Math.min(10, width / 70), false)) {
        if (this.axis === "epochs" && !Number.isInteger(tick)) continue;
        const x = this.x(tick);
        element(this.svg, "line", { x1: x, x2: x, y1: bottom, y2: bottom + 5, class: "tick" });
        element(this.svg, "text", { x, y: bottom + 19, "text-anchor": "middle" }, tick.toLocaleString("en"));
      }
      element(this.svg, "line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom, class: "tick" });
      element(this.svg, "text", { x: (MARGIN.left + width) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, AXES[this.axis]);
      element(this.svg, "text", { transform: `translate(14 ${middle}) rotate(-90)`, "text-anchor": "middle" },
        this.metric.label + (log ? ", logarithmic" : ""));
    }

    curve(line) {
      const group = element(this.svg, "g", { class: `series ${line.split}`, "data-run": line.run.name });
      this.colour(group, line.run);
      // Nothing is drawn across an epoch without a finite value.
      const parts = [];
      for (const point of line.points) {
        if (point.index === parts.at(-1)?.at(-1).index + 1) parts.at(-1).push(point);
        else parts.push([point]);
      }
      const path = (points, height) => points.map((point) => `${this.x(point.x)} ${this.y(height(point))}`);
      for (const part of parts) {
        if (part[0].range) {
          const [low, high] = [0, 1].map((side) => path(part, (point) => point.range[side]));
          element(group, "path", { d: `M${[...low, ...high.reverse()].join("L")}Z`, class: "range" });
        }
        element(group, "path", { d: `M${path(part, (point) => point.y).join("L")}`, class: "line" });
      }
      const every = Math.ceil(line.points.length / 30);
      line.points.forEach((point, index) => {
        if (index % every === 0) this.mark(group, line.run, this.x(point.x), this.y(point.y));
      });
    }

    colour(element, run) {
      element.style.setProperty("--series", run.colour);
      element.style.setProperty("--series-on-dark", run.dark);
    }

    mark(parent, run, x, y) {
      element(parent, "path", { d: MARKERS[run.marker], transform: `translate(${x} ${y})`, class: "mark" });
    }

    emphasise(name) {
      this.svg?.querySelectorAll(".series").forEach((group) =>
        group.classList.toggle("dim", name !== null && group.dataset.run !== name));
    }

    listen() {
      this.plot.addEventListener("pointermove", (event) => this.nearest(event));
      this.plot.addEventListener("pointerdown", (event) => this.nearest(event));
      // A finger that is lifted leaves the plot, too; what it pointed at stays.
      this.plot.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") this.hide(); });
      this.plot.addEventListener("focus", () => {
        if (this.tip.hidden && this.plot.matches(":focus-visible")) this.say(...(this.focused ?? [0, 0]));
      });
      this.plot.addEventListener("blur", () => this.hide());
      this.plot.addEventListener("keydown", (event) => this.walk(event));
    }

    nearest(event) {
      const frame = this.plot.getBoundingClientRect();
      let best = [NEAR, null];
      this.lines.forEach((line, curve) => line.points.forEach((point, index) => {
        const distance = Math.hypot(this.x(point.x) - event.clientX + frame.left, this.y(point.y) - event.clientY + frame.top);
        if (distance <= best[0]) best = [distance, [curve, index]];
      }));
      best[1] ? this.show(...best[1]) : this.hide();
    }

    walk(event) {
      const [curve, index] = this.focused ?? [0, 0], last = this.lines.length - 1;
      const steps = {
        ArrowLeft: [curve, index - 1], ArrowRight: [curve, index + 1], Home: [curve, 0], End: [curve, Infinity],
        ArrowUp: [curve === 0 ? last : curve - 1, index], ArrowDown: [curve === last ? 0 : curve + 1, index],
      };
      if (event.key === "Escape") this.hide();
      if (!steps[event.key]) return;
      event.preventDefault();
      this.say(...steps[event.key]);
    }

    say(curve, index) {
      if (!this.lines.length) {
        this.spoken.textContent = this.reason();
        return;
      }
      this.show(curve, index);
      this.spoken.textContent = [...this.tip.children].map((part) => part.textContent).join(", ");
    }

    show(curve, index) {
      const line = this.lines[Math.min(curve, this.lines.length - 1)];
      if (!line) return;
      index = Math.max(0, Math.min(index, line.points.length - 1));
      const point = line.points[index], x = this.x(point.x), y = this.y(point.y);
      this.focused = [this.lines.indexOf(line), index];
      this.tip.textContent = "";
      element(this.tip, "strong", {}, line.run.name);
      element(this.tip, "span", {}, `${line.split === "train" ? "training" : line.split}, epoch ${point.epoch}${point.seconds === null ? "" : `, ${written(point.seconds, {})} s`}`);
      element(this.tip, "span", {}, `${this.metric.name} ${written(point.y, this.metric)}`);
      if (point.seconds !== null && line.machine) element(this.tip, "span", {}, `on ${line.machine}`);
      if (point.range)
        element(this.tip, "span", {}, `${point.seeds === 1 ? "one seed" : `mean of ${point.seeds} seeds`}, ${point.range.map((value) => written(value, this.metric)).join(" to ")}`);
      this.tip.hidden = false;
      const right = this.plot.clientWidth - MARGIN.right - this.tip.offsetWidth;
      const left = Math.max(Math.min(x - this.tip.offsetWidth / 2, right), MARGIN.left); // beside the labels
      const above = y - this.tip.offsetHeight - 14;
      this.tip.style.left = `${left}px`;
      this.tip.style.top = `${above < 0 ? y + 14 : above}px`;
      this.ring.setAttribute("cx", x);
      this.ring.setAttribute("cy", y);
      this.ring.setAttribute("visibility", "visible");
      this.emphasise(line.run.name);
    }

    hide() {
      this.tip.hidden = true;
      this.ring?.setAttribute("visibility", "hidden");
      this.emphasise(null);
    }
  }

  // Without it lines would have no colour; the figure that stands there instead has.
  if (CSS.supports("color", "light-dark(red, red)"))
    document.querySelectorAll(".chart").forEach((box) => new Chart(box));
})();
