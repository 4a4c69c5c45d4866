/* A click anywhere in a row of the request log opens it, as its link does. */
"use strict";
document.addEventListener("click", (event) => {
    const row = event.target.closest("#result_list tbody tr");
    const isOther = event.target.closest("a, button, input, label");
    // Someone who selects text wants to copy it.
    if (row && !isOther && window.getSelection().isCollapsed) {
        row.querySelector("th a")?.click();
    }
});
