// Draws the evidence over time with uPlot: for each check the difference with its interval, and the evidence itself.
"use strict";
(() => {
  const place = document.getElementById("charts");
  if (!place || typeof uPlot === "undefined") return;
  const HEIGHT = 230;
  const NARROW = 420;
  const endRoom = (canvas) => (canvas.clientWidth < NARROW ? 92 : 110);
  const FONT = getComputedStyle(document.body).fontFamily;
  let drawn = [];
  let data = null;
  let tag = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const known = (values) => values.filter((v) => v !== null && Number.isFinite(v));
  const last = (values) => known(values).at(-1);

  // The first minutes are noisy: the scale follows the later part of the data, the gate and zero.
  function range(columns, always) {
    const later = columns.flatMap((column) => known(column.slice(Math.floor(column.length * 0.3))));
    const near = always.concat(later.length ? later : columns.flatMap(known));
    const reach = 3 * Math.max(...always.map(Math.abs), 0.5);
    const middle = columns.length ? Math.abs(last(columns[0]) ?? 0) : 0;
    const low = Math.max(Math.min(...near), -Math.max(reach, 1.6 * middle));
    const high = Math.min(Math.max(...near), Math.max(reach, 1.6 * middle));
    const room = Math.max(high - low, 0.2) * 0.08;
    return [low - room, high + room];
  }

  // Words over lines: a rim in the card's colour keeps them readable.
  function write(ctx, words, x, y) {
    ctx.strokeStyle = colour("--card");
    ctx.lineWidth = 4 * devicePixelRatio;
    ctx.lineJoin = "round";
    ctx.setLineDash([]);
    ctx.strokeText(words, x, y);
    ctx.fillText(words, x, y);
  }

  // Step markers through the whole height, with what happened there.
  function markers() {
    return {
      hooks: {
        draw: [
          (u) => {
            const { ctx } = u;
            const { left, top, width, height } = u.bbox;
            const ratio = devicePixelRatio;
            ctx.save();
            ctx.font = `${11 * ratio}px ${FONT}`;
            ctx.textBaseline = "top";
            const taken = [];
            const said = [];
            for (const marker of data.markers) {
              const x = Math.round(u.valToPos(marker.at, "x", true));
              if (x < left || x > left + width || marker.act === "advance") continue;
              const bad = marker.act === "roll_back";
              ctx.strokeStyle = colour(bad ? "--bad" : "--line-strong");
              ctx.lineWidth = ratio;
              ctx.setLineDash(bad ? [] : [2 * ratio, 3 * ratio]);
              ctx.beginPath();
              ctx.moveTo(x, top);
              ctx.lineTo(x, top + height);
              ctx.stroke();
              const wide = ctx.measureText(marker.words).width;
              const overflows = x + 5 * ratio + wide > left + width;
              const from = overflows ? x - 5 * ratio - wide : x + 5 * ratio;
              const to = from + wide + 7 * ratio;
              // Beside other words there is no room at some widths: then it goes a line lower, or is left to the table.
              const row = [0, 1, 2].find((r) => taken.every((t) => t.row !== r || to <= t.from || from >= t.to));
              if (row === undefined) continue;
              taken.push({ row, from, to });
              said.push({ words: marker.words, bad, x: from, y: top + (2 + 14 * row) * ratio });
            }
            ctx.textAlign = "left";
            for (const one of said) {  // after all lines, so that none crosses them
              ctx.fillStyle = colour(one.bad ? "--bad" : "--soft");
              write(ctx, one.words, one.x, one.y);
            }
            ctx.restore();
          },
        ],
      },
    };
  }

  // Direct labels at the lines' ends, sorted and kept apart.
  function endLabels(labels) {
    return {
      hooks: {
        draw: [
          (u) => {
            const { ctx } = u;
            const { left, top, width, height } = u.bbox;
            const ratio = devicePixelRatio;
            const line = 14 * ratio;
            const shown = labels
              .map((label) => ({ ...label, value: label.value() }))
              .filter((label) => label.value !== undefined && label.value !== null)
              .map((label) => ({ ...label, y: u.valToPos(label.value, label.scale ?? "y", true) }))
              .map((label) => ({ ...label, y: Math.min(top + height - line / 2, Math.max(top + line / 2, label.y)) }))
              .sort((a, b) => a.y - b.y);
            for (let i = 1; i < shown.length; i++) shown[i].y = Math.max(shown[i].y, shown[i - 1].y + line);
            const over = shown.length ? shown.at(-1).y - (top + height - line / 2) : 0;
            if (over > 0) {
              for (let i = shown.length - 1; i >= 0; i--) {
                shown[i].y = Math.min(shown[i].y, top + height - line / 2 - (shown.length - 1 - i) * line);
              }
            }
            ctx.save();
            ctx.font = `${11.5 * ratio}px ${FONT}`;
            ctx.textBaseline = "middle";
            ctx.textAlign = "left";
            for (const label of shown) {
              ctx.fillStyle = colour(label.colour);
              ctx.fillText(label.words(label.value), left + width + 8 * ratio, label.y);
            }
            ctx.restore();
          },
        ],
      },
    };
  }

  const two = (n) => String(n).padStart(2, "0");
  const clock = (seconds, withSeconds) => {
    const t = new Date(seconds * 1000);
    return `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}${withSeconds ? `:${two(t.getUTCSeconds())}` : ""}`;
  };

  // Seconds between two times of the axis: fine enough that a short rollout on a narrow page has one.
  const STEPS = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800];

  function axes(unit) {
    const stroke = colour("--soft");
    const grid = { stroke: colour("--line"), width: 1 };
    const ticks = { stroke: colour("--line"), width: 1, size: 4 };
    const font = `11.5px ${FONT}`;
    const days = data.at.length && data.at.at(-1) - data.at[0] > 86400;
    const short = data.at.length && data.at.at(-1) - data.at[0] < 600;
    return [
      {
        stroke, grid: { show: false }, ticks, font, space: 64, size: 30, incrs: STEPS,
        filter: (u, splits) => splits.map((s) => (s < u.scales.x.min || s > u.scales.x.max ? null : s)),
        values: (u, splits) => splits.map((s) => s === null ? "" : (days ? `${new Date(s * 1000).toISOString().slice(5, 10)} ` : "") + clock(s, short)),
      },
      { stroke, grid, ticks, font, size: 52, values: (u, splits) => splits.map((s) => `${+s.toFixed(2)}${unit}`) },
    ];
  }

  function make(title, hint, key, build) {
    const figure = document.createElement("figure");
    figure.className = "chart";
    const heading = document.createElement("h3");
    heading.textContent = title;
    const say = document.createElement("p");
    say.className = "hint";
    say.textContent = hint;
    const canvas = document.createElement("div");
    canvas.className = "canvas";
    figure.append(heading, say, canvas);
    figure.setAttribute("role", "img");
    figure.setAttribute("aria-label", `${title}. The table below says the same.`);
    place.append(figure);
    const { options, columns } = build();
    const chart = new uPlot(
      {
        width: Math.max(260, canvas.clientWidth),
        height: HEIGHT,
        padding: [14, endRoom(canvas), 0, 0],
        cursor: { sync: { key: "rollout" }, y: false, points: { size: 7 } },
        legend: { show: false },
        ...options,
      },
      columns,
      canvas,
    );
    drawn.push({ key, chart, canvas, build });
  }

  const dash = [6, 4];
  const solo = (values) => known(values).length < 2;

  function difference(i) {
    const check = data.checks[i];
    const accent = colour("--accent");
    const gates = known(check.gate);
    const always = [0, ...(gates.length ? [gates.at(-1)] : [])];
    return {
      columns: [data.at, check.upper, check.lower, check.estimate, check.gate, data.at.map(() => 0)],
      options: {
        scales: { x: { time: true }, y: { range: () => range([data.checks[i].estimate, data.checks[i].lower, data.checks[i].upper], always) } },
        axes: axes(""),
        bands: [{ series: [1, 2], fill: colour("--band") }],
        series: [
          {},
          { stroke: accent, width: 0.8, points: { show: false }, spanGaps: true },
          { stroke: accent, width: 0.8, points: { show: false }, spanGaps: true },
          { stroke: accent, width: 2.2, points: { show: solo(check.estimate), size: 6 }, spanGaps: true },
          { stroke: colour("--warn"), width: 1.5, dash, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) },
          { stroke: colour("--soft"), width: 1.2, points: { show: false } },
        ],
        plugins: [
          markers(),
          endLabels([
            { colour: "--accent", value: () => last(data.checks[i].estimate), words: (v) => `green ${v >= 0 ? "+" : "−"}${Math.abs(v).toFixed(2)}` },
            { colour: "--warn", value: () => last(data.checks[i].gate), words: (v) => `gate +${+v.toFixed(2)}` },
            { colour: "--soft", value: () => 0, words: () => "blue" },
          ]),
        ],
      },
    };
  }

  function evidence(i) {
    const check = data.checks[i];
    return {
      columns: [data.at, check.within, check.worse, data.at.map(() => 100)],
      options: {
        scales: {
          x: { time: true },
          y: {
            range: () => {
              const all = [...known(data.checks[i].within), ...known(data.checks[i].worse)];
              return [Math.min(0, Math.max(-60, Math.min(...all, 0))) - 5, Math.min(140, Math.max(112, ...all)) + 4];
            },
          },
        },
        axes: axes(" %"),
        series: [
          {},
          { stroke: colour("--good"), width: 2.2, points: { show: solo(check.within), size: 6 }, spanGaps: true },
          { stroke: colour("--bad"), width: 2.2, dash: [2, 3], points: { show: solo(check.worse), size: 6 }, spanGaps: true },
          { stroke: colour("--soft"), width: 1.5, dash, points: { show: false } },
        ],
        plugins: [
          markers(),
          endLabels([
            { colour: "--good", value: () => last(data.checks[i].within), words: () => "within margin" },
            { colour: "--bad", value: () => last(data.checks[i].worse), words: () => "green is worse" },
            { colour: "--soft", value: () => 100, words: () => "needed" },
          ]),
        ],
      },
    };
  }

  function weight() {
    return {
      columns: [data.at, data.wanted, data.seen],
      options: {
        scales: { x: { time: true }, y: { range: () => [0, Math.max(1, ...known(data.wanted), ...known(data.seen)) * 1.15] } },
        axes: axes(" %"),
        series: [
          {},
          { stroke: colour("--soft"), width: 1.6, dash, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) },
          { stroke: colour("--green"), width: 2.2, points: { show: solo(data.seen), size: 6 }, spanGaps: true },
        ],
        plugins: [
          markers(),
          endLabels([
            { colour: "--soft", value: () => last(data.wanted), words: (v) => `wanted ${+v.toFixed(1)} %` },
            { colour: "--green", value: () => last(data.seen), words: (v) => `seen ${v.toFixed(1)} %` },
          ]),
        ],
      },
    };
  }

  function wanted() {
    return data.checks.flatMap((check) => [`d:${check.metric}`, `e:${check.metric}`]).concat("weight").join("|");
  }

  function draw(again) {
    const fresh = again || !drawn.length || drawn.map((d) => d.key).join("|") !== wanted();
    if (!fresh) {
      for (const one of drawn) one.chart.setData(one.build().columns);
      return;
    }
    for (const one of drawn) one.chart.destroy();
    drawn = [];
    place.replaceChildren();
    data.checks.forEach((check, i) => {
      const name = check.name[0].toUpperCase() + check.name.slice(1);
      make(`${name}: how much worse green is`, "Percentage points; the line is the estimate.", `d:${check.metric}`, () => difference(i));
      make(`${name}: the evidence`, "Share of what is needed, on the log scale.", `e:${check.metric}`, () => evidence(i));
    });
    make("Green's weight", "Share of the calls, wanted and seen since the step began.", "weight", weight);
  }

  async function look() {
    try {
      const answer = await fetch(place.dataset.from, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store", redirect: "error" });
      if (answer.status !== 200) return;
      tag = answer.headers.get("ETag");
      const next = await answer.json();
      if (!next.at.length) return;
      data = next;
      draw(false);
      place.dataset.drawn = String(data.at.length);
    } catch {
      // live.js says that the page is not kept up.
    }
  }

  new ResizeObserver(() => {
    for (const one of drawn) {
      const width = Math.max(260, one.canvas.clientWidth);
      if (Math.abs(width - one.chart.width) > 1) one.chart.setSize({ width, height: HEIGHT });
    }
  }).observe(place);
  document.addEventListener("crossfade:theme", () => data && draw(true));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => data && draw(true));

  look();
  if (document.querySelector("[data-live-from]")) setInterval(() => document.hidden || look(), 2000);
})();
