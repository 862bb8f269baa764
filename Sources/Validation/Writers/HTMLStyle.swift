/// The style sheet of the HTML report. It names no address, so the file needs no network.
enum HTMLStyle {
  static let sheet = """
    :root { color-scheme: light dark; --ink: #1b2330; --soft: #5a6474; --page: #f5f6f8; --card: #ffffff;
      --line: #dde1e7; --bad: #b3261e; --badsoft: #fdecea; --warn: #8a5a00; --warnsoft: #fff4dc;
      --good: #1d6b3a; --goodsoft: #e4f4ea; --skip: #5a6474; --skipsoft: #eceff3;
      --before: #9aa6b8; --after: #2f6fb4; --code: #eef1f5; }
    @media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #a3adbb; --page: #12161c;
      --card: #1b2129; --line: #323b47; --bad: #ff9d94; --badsoft: #3b1d1b; --warn: #f2c063;
      --warnsoft: #372a10; --good: #7fd39c; --goodsoft: #16301f; --skip: #a3adbb; --skipsoft: #262d37;
      --before: #68758a; --after: #6aa9ec; --code: #10141a; } }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
      font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
    main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
    h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
    h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
    h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
    p { margin: .4rem 0; overflow-wrap: anywhere; }
    .soft { color: var(--soft); font-size: .9rem; }
    .verdict { border: 1px solid; border-left-width: .5rem; border-radius: .5rem;
      padding: 1rem 1.25rem; margin: 1rem 0; }
    .verdict strong { font-size: 1.5rem; display: block; }
    .failed, .error { color: var(--bad); background: var(--badsoft); border-color: var(--bad); }
    .warning, .reservations { color: var(--warn); background: var(--warnsoft); border-color: var(--warn); }
    .passed, .done { color: var(--good); background: var(--goodsoft); border-color: var(--good); }
    .skipped, .running, .interrupted { color: var(--skip); background: var(--skipsoft); border-color: var(--skip); }
    .counts { display: flex; flex-wrap: wrap; gap: .5rem; list-style: none; margin: 0; padding: 0; }
    .counts li { border: 1px solid var(--line); background: var(--card); border-radius: .5rem;
      padding: .5rem .9rem; min-width: 6.5rem; }
    .counts b { display: block; font-size: 1.35rem; }
    .tag { display: inline-block; border: 1px solid; border-radius: 1rem; padding: 0 .6rem;
      font-size: .8rem; font-weight: 600; white-space: nowrap; }
    article, .card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
      padding: .9rem 1.1rem; margin: .75rem 0; }
    article { border-left: .3rem solid var(--line); break-inside: avoid; content-visibility: auto;
      contain-intrinsic-size: auto 16rem; }
    article.is-failed, article.is-error { border-left-color: var(--bad); }
    article.is-warning { border-left-color: var(--warn); }
    article header { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
    dl { display: grid; grid-template-columns: fit-content(14rem) minmax(0, 1fr); gap: .2rem 1rem; margin: .6rem 0 0; }
    dt { color: var(--soft); overflow-wrap: anywhere; } dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
    pre, code { font: .85rem/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
    pre { background: var(--code); border: 1px solid var(--line); border-radius: .35rem; margin: 0;
      padding: .5rem .7rem; white-space: pre-wrap; overflow-wrap: anywhere; }
    .scroll { overflow-x: auto; }
    table { border-collapse: collapse; width: 100%; font-size: .9rem; }
    th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
      border-bottom: 1px solid var(--line); }
    table.checks { table-layout: fixed; min-width: 44rem; } table.checks code { white-space: nowrap; }
    .checks .id { width: 12.5rem; } .checks .stage { width: 8rem; } .checks .about { width: 30%; }
    .checks .small { width: 7rem; }
    td { overflow-wrap: anywhere; } th { color: var(--soft); font-weight: 600; }
    td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
    .rows { content-visibility: auto; contain-intrinsic-size: auto 40rem; }
    details { border-top: 1px solid var(--line); } details:last-of-type { border-bottom: 1px solid var(--line); }
    summary { cursor: pointer; padding: .6rem 0; font-weight: 600; }
    .figure { margin: .7rem 0; } .figure svg { display: block; width: 100%; height: 1.5rem; }
    .figure .name { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; }
    .figure .name span:first-child { overflow-wrap: anywhere; }
    .figure .numbers { color: var(--soft); font-variant-numeric: tabular-nums; }
    .b { fill: var(--before); } .a { fill: var(--after); } .t { fill: var(--after); }
    .t.failed { fill: var(--bad); } .t.skipped { fill: var(--skip); } .r { fill: var(--line); }
    .key i { display: inline-block; width: .8rem; height: .8rem; border-radius: .15rem; margin: 0 .3rem 0 1rem; }
    .key .kb { background: var(--before); } .key .ka { background: var(--after); }
    @media (max-width: 34rem) { dl { grid-template-columns: minmax(0, 1fr); } dt { margin-top: .3rem; }
      .counts li { flex: 1 1 6rem; } }
    @media print { :root { --page: #fff; --card: #fff; } body { font-size: 11pt; }
      main { max-width: none; padding: 0; } table.checks { min-width: 0; font-size: .8rem; }
      .checks .id { width: 10rem; } .checks .stage, .checks .small { width: 5.5rem; } article, .rows { content-visibility: visible; }
      details::details-content { content-visibility: visible; block-size: auto; } }
    """
}
