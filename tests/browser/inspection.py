"""Looks at each page of a tour in wide and narrow windows, light and dark.

With ``PICTURES=directory`` it also takes a picture of each.
"""

import os
from pathlib import Path

from .conftest import fits

WINDOWS = [(1280, 900), (390, 844)]
SCHEMES = ["light", "dark"]
PICTURES = os.environ.get("PICTURES")

# Our elements on a page. The others are the admin's, or a theme's.
OURS = [
    ".frappe-tokens",
    ".frappe-tokens-usage",
    ".frappe-tokens-textarea",
    ".readonly:has([class*='frappe-tokens'], [data-frappe-tokens-section])",
    "#result_list :is(td, th):has([class*='frappe-tokens'])",
]

# Django's admin and our pages choose the scheme by a media query alone, themes by what their
# scripts set when the page loads.
SET_SCHEME = """async scheme => {
    const root = document.documentElement;
    if (root.dataset.bsTheme) {
        root.dataset.bsTheme = scheme;
    }
    if (root.matches("[x-bind='themeBindings']")) {
        root.className = scheme;
    }
    // Wait until no colour fades. An inherited colour fades after the one that it comes from.
    let fading;
    do {
        await new Promise(requestAnimationFrame);
        fading = document.getAnimations().filter(({ playState }) => playState === "running");
        await Promise.allSettled(fading.map(({ finished }) => finished));
    } while (fading.length);
}"""

# Our elements are inside the window and have edges, and a dialog hides what is below it.
LOOK = """selectors => {
    const found = [];
    const ours = selectors.join(", ");
    const shown = selector => [...document.querySelectorAll(selector)].filter(each =>
        each.closest(ours) && each.checkVisibility() && each.offsetWidth > 1);
    const isClear = colour => ["transparent", "rgba(0, 0, 0, 0)"].includes(colour);
    const say = (what, each) => found.push(`${what}: ${each.outerHTML.slice(0, 200)}`);
    for (const each of shown("section, p, td, input, textarea, .button, .closelink")) {
        const { left, right } = each.getBoundingClientRect();
        if (!each.closest(".frappe-tokens-scroll") && (left < 0 || right > innerWidth + 1)) {
            say("outside the window", each);
        }
    }
    const choices = "[type=radio], [type=checkbox]";
    for (const each of shown(`.button, .closelink, input:not(${choices}), textarea`)) {
        const { backgroundColor, borderColor, borderWidth } = getComputedStyle(each);
        if ((borderWidth === "0px" || isClear(borderColor)) && isClear(backgroundColor)) {
            say("without edges", each);
        }
    }
    for (const each of document.querySelectorAll("dialog[open]")) {
        const { backgroundColor } = getComputedStyle(each);
        if (isClear(backgroundColor) || each.getBoundingClientRect().left < 8) {
            say("transparent, or not in the middle", each);
        }
    }
    return found;
}"""

RUN_AXE = """async ([included, excluded, options]) => {
    const found = selectors => selectors.flatMap(each => [...document.querySelectorAll(each)]);
    if (!found(included).length) {
        return [];
    }
    const context = { include: found(included), exclude: found(excluded) };
    const { violations } = await axe.run(context, options);
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html, any, all, none }) => {
        const messages = [...any, ...all, ...none].map(({ message }) => message);
        return `${id}: ${html.slice(0, 200)}: ${messages.join(" ")}`;
    }));
}"""


class Inspection:
    """Finds what is wrong on the pages of a tour: ``Inspection(axe).look_at(page, steps)``.

    axe-core checks whole pages except what ``exclude`` selects; with ``only_ours``, only whether
    our elements have enough contrast.
    """

    def __init__(self, axe, exclude=(), only_ours=False):
        self.axe = axe
        self.only_ours = only_ours
        options = {"runOnly": ["color-contrast"]} if only_ours else {}
        self.arguments = [OURS if only_ours else ["html"], list(exclude), options]

    def look_at(self, page, steps):
        """Return the problems, each with its place."""
        found = {}
        for name in steps:
            for where, problem in self._problems(page, name):
                found.setdefault(f"{name}: {problem}", []).append(where)
        return [f"{problem} ({'; '.join(places)})" for problem, places in found.items()]

    def _problems(self, page, name):
        if not page.evaluate("'axe' in window"):
            page.evaluate(self.axe)
        for width, height in WINDOWS:
            page.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                page.evaluate(SET_SCHEME, scheme)
                where = f"{scheme}, {width}"
                if PICTURES:
                    take_picture(page, f"{name} {width} {scheme}")
                if not self.only_ours and not fits(page):
                    yield where, "doesn't fit into the window"
                looks = page.evaluate(LOOK, OURS)
                for problem in looks + page.evaluate(RUN_AXE, self.arguments):
                    yield where, problem
        width, height = WINDOWS[0]
        page.set_viewport_size({"width": width, "height": height})


def take_picture(page, name):
    path = Path(PICTURES) / f"{name.replace(' ', '-')}.png"
    page.screenshot(path=path, full_page=page.locator("dialog[open]").count() == 0)
