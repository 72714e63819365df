// With `#selftest` in its address the page tries itself out, and writes down what came
// of it for a test to read: one line for each fact, `name: value`.

function selftest() {
  const results = [];
  const note = (name, value) => results.push(`${name}: ${value}`);
  const draw = () => { drawAll(); return drawnArrows.length; };
  const arrows = draw();
  note("nodes", run.nodes);
  note("lanes", nodes.filter((node) => laneOf(node.place) < stage.height).length);
  note("arrows", arrows);
  note("reigns of leaders", leaders.length);
  note("opens at", view.cursor);
  note("leader is in view", leaders.some(({ at }) => at >= view.from && at <= view.to));
  note("log boxes", document.querySelectorAll("#nodes .entry:not(.absent)").length);
  note("rows of nodes", document.querySelectorAll("#nodes tr").length - 1);
  note("lines around", document.querySelectorAll("#list li:not(.now)").length);

  const names = [...new Set(drawnArrows.map(({ item }) => item.shape.name))];
  view.hidden.add(names[0]);
  note("arrows without one kind", draw());
  view.hidden.clear();
  view.only.add(nodes.length - 1);
  note("arrows of one node", draw());
  view.only.clear();

  const length = view.to - view.from;
  KEYS["+"]();
  note("zoom", (view.to - view.from) / length);
  draw();
  ACTIONS.fit();
  draw();
  note("messages", messages.length);
  note("all", view.from === run.begins && view.to === run.ends);
  note("drawn or said", drawnArrows.length + leftOut.reduce((sum, [, count]) => sum + count, 0));
  KEYS.Home();
  KEYS.n();
  note("first leader at", view.cursor);
  goTo(run.ends, 100_000);
  draw();
  note("boxes at the end", document.querySelectorAll("#nodes .entry.committed").length);

  search("append_entries");
  note("found", view.found.size);
  step([...view.found], -1);
  draw();
  note("selected", byId("details").querySelector("h2").textContent);
  const line = drawnArrows.find(({ item }) => item === view.selected);
  onClick((line.x0 + line.x1) / 2, (line.y0 + line.y1) / 2);
  note("click selects", view.selected !== null && isMessage(view.selected));
  clearAll();
  goToViolation();
  draw();
  note("violation at", run.violation ? view.cursor : "none");
  note("ends", run.ends);
  note("verdict", byId("verdict").hidden ? "none" : byId("verdict").textContent.trim());
  return results;
}

if (location.hash === "#selftest") {
  const output = byId("selftest-results");
  addEventListener("error", (event) => { output.textContent += `\nerror: ${event.message}`; });
  requestAnimationFrame(() => {
    try {
      output.textContent = [...selftest(), "done: true"].join("\n");
    } catch (error) {
      output.textContent = `error: ${error.stack}`;
    }
  });
}
