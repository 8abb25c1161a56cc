// Shows the figures of the moment under the pointer. The page is complete without it.
for (const svg of document.querySelectorAll("svg[data-chart]")) {
	const d = JSON.parse(svg.dataset.chart);
	const title = svg.querySelector("title");
	svg.setAttribute("aria-label", title.textContent);
	title.remove(); // else it covers the figures
	const line = document.createElementNS(svg.namespaceURI, "path");
	line.setAttribute("class", "axis");
	const box = document.createElement("div");
	box.className = "under";
	const hide = () => { line.remove(); box.remove(); };
	svg.addEventListener("pointermove", (e) => {
		const r = svg.getBoundingClientRect();
		const x = (e.clientX - r.left) * svg.viewBox.baseVal.width / r.width;
		let k = 0;
		d.x.forEach((v, i) => { if (Math.abs(d.x[k] - x) > Math.abs(v - x)) k = i; });
		line.setAttribute("d", `M${d.x[k]} ${d.b[0]}V${d.b[1]}`);
		svg.append(line);
		box.textContent = [d.w[k], ...d.y.map((s) => `${s.n}: ${s.y[k]}`)].join("\n");
		document.body.append(box);
		box.style.top = e.clientY + 14 + "px";
		box.style.left = Math.max(4, Math.min(e.clientX + 14, innerWidth - box.offsetWidth - 8)) + "px";
	});
	svg.addEventListener("pointerleave", hide);
}
