// Ties what the page holds to the libraries before it: every table to DataTables, the plots to Vega.
const root = document.documentElement, tables = {};
root.classList.add("live");
root.classList.toggle("dark", matchMedia("(prefers-color-scheme: dark)").matches);

for (const [n, table] of document.querySelectorAll("table.data").entries()) {
  const long = table.tBodies[0].rows.length > 20, searched = long || table.id === "list";
  tables[table.id] = new DataTable(table, {
    order: [], autoWidth: false, paging: long, searching: searched, info: searched, pageLength: 10,
    language: {search: "", searchPlaceholder: "search", zeroRecords: table.dataset.none ?? "nothing"},
    layout: {
      topStart: searched ? "search" : null, topEnd: null,
      bottomStart: [table.tBodies[0].rows.length > 3 && {buttons: [{extend: "csvHtml5", text: "CSV", title: table.dataset.file, escapeExcelFormula: true}]}, searched ? "info" : ""].filter(Boolean),
      bottomEnd: long ? "paging" : null,
    },
  });
  const nav = table.closest(".dt-container").querySelector("nav");
  nav?.setAttribute("aria-label", `Pages of table ${n + 1}, ${table.dataset.file}`);
}

const written = document.getElementById("written");
if (written && location.protocol === "file:")
  written.textContent = `, written on ${new Date(document.lastModified).toLocaleDateString("en-GB", {dateStyle: "long"})}`;

const place = document.getElementById("plots");
if (place) {
  const spec = JSON.parse(document.getElementById("plots-spec").textContent);
  const columns = Object.entries(spec.data.columns);
  spec.data = {values: columns[0][1].map((_, i) => Object.fromEntries(columns.map(([name, of]) => [name, of[i]])))};
  for (const plot of spec.vconcat) plot.width = Math.max(200, place.clientWidth - 80);
  const {view} = await vegaEmbed(place, spec, {
    renderer: "svg", ast: true, logLevel: 1, actions: false, defaultStyle: false, tooltip: {disableDefaultStyle: true},
  });
  place.firstElementChild.setAttribute("aria-hidden", "true");  // its label says what it shows
  const list = tables.list;
  const within = (box, row) => Object.entries(box).every(([name, [a, b]]) =>
    row.dataset[name] !== "" && Math.min(a, b) <= +row.dataset[name] && +row.dataset[name] <= Math.max(a, b));
  for (const brush of ["brush_volcano", "brush_genome"])
    view.addSignalListener(brush, (_, box) => {
      const drawn = Object.keys(box).length;
      list.search.fixed(brush, drawn ? (_, __, i) => within(box, list.row(i).node()) : null).draw();
    });
  view.addEventListener("click", (_, item) => {
    if (!item?.datum?.gene) return;
    document.activeElement.blur();  // or the search field keeps what it says
    list.search(item.datum.gene).draw();
  });
  list.on("click", "tbody tr", event => view.signal("query", event.currentTarget.cells[0].innerText.trim()).runAsync());
  list.on("search", () => view.signal("query", list.search()).runAsync());
}
