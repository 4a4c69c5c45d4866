/* The keyboard in the chart of requests: Tab reaches one bar, and the arrow keys reach the others.
   Without this script, Tab reaches every bar. Escape hides the tip of a bar. */
"use strict";
{
    const BARS = ".frappe-tokens-usage-bars";

    const barsOf = (list) => [...list.querySelectorAll("li > :first-child")];

    const makeReachable = (bars, chosen) => {
        for (const bar of bars) {
            bar.tabIndex = bar === chosen ? 0 : -1;
        }
    };

    document.addEventListener("DOMContentLoaded", () => {
        for (const list of document.querySelectorAll(BARS)) {
            const bars = barsOf(list);
            makeReachable(bars, bars.at(-1)); // the latest day
        }
    });

    // The script of the dialog may have replaced the chart.
    document.addEventListener("focusin", ({ target }) => {
        const list = target.closest(BARS);
        if (list) {
            makeReachable(barsOf(list), target);
        }
    });

    document.addEventListener("keydown", (event) => {
        if (event.key === "Escape") {
            for (const item of document.querySelectorAll(`${BARS} li:is(:hover, :focus-within)`)) {
                item.dataset.dismissed = "";
            }
            return;
        }
        const list = event.target.closest?.(BARS);
        if (!list || event.altKey || event.ctrlKey || event.metaKey) {
            return;
        }
        const bars = barsOf(list);
        const place = bars.indexOf(event.target);
        const forward = getComputedStyle(list).direction === "rtl" ? -1 : 1;
        const places = {
            ArrowRight: place + forward,
            ArrowLeft: place - forward,
            Home: 0,
            End: bars.length - 1,
        };
        const next = bars[places[event.key]];
        if (next) {
            event.preventDefault();
            next.focus();
        }
    });

    for (const left of ["focusout", "mouseout"]) {
        document.addEventListener(left, (event) => {
            const item = event.target.closest?.(`${BARS} li`);
            if (item && !item.contains(event.relatedTarget)) {
                delete item.dataset.dismissed;
            }
        });
    }
}
