/* Copy buttons, and a dialog for the pages of keys, in the admin and on the users' own pages.

   The pages work without this script: a link leads to them, their form generates, and the secret is
   in the response. The script fetches the same page and shows its content in a dialog. */
"use strict";
{
    const CONTENT = "#frappe-tokens-content";
    const BUTTONS = "a[role=button]:is(.frappe-tokens-button, .frappe-tokens .closelink)";

    const copyText = async (element) => {
        try {
            await navigator.clipboard.writeText(element.textContent);
            return true;
        } catch {
            // There is no clipboard, for example without HTTPS. Select the text for Ctrl+C.
            const selection = window.getSelection();
            selection.selectAllChildren(element);
            return document.execCommand("copy");
        }
    };

    const showCopyButtons = (root) => {
        for (const button of root.querySelectorAll("[data-frappe-tokens-copy]")) {
            button.hidden = false;
            const label = button.textContent;
            button.addEventListener("click", async () => {
                const value = root.querySelector(`#${button.dataset.frappeTokensCopy}`);
                const copied = await copyText(value);
                button.textContent = copied ? button.dataset.copied : button.dataset.failed;
                window.setTimeout(() => {
                    button.textContent = label;
                }, 2000);
            });
        }
    };

    const load = async (url, options = {}) => {
        const response = await fetch(url, { credentials: "same-origin", ...options });
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        return { page, redirected: response.redirected, url: response.url };
    };

    const contentOf = ({ page }) => document.importNode(page.querySelector(CONTENT), true);

    const sectionOf = (page) =>
        page.querySelector("[data-frappe-tokens-section]")?.closest("fieldset, .card") ??
        page.querySelector("[data-frappe-tokens-renew]");

    /* Replace only our section, to keep what was typed into the form around it. */
    const renewSection = (page, link) => {
        const [section, renewed] = [sectionOf(document), sectionOf(page)];
        if (!section || !renewed) {
            return false;
        }
        section.replaceWith(document.importNode(renewed, true));
        const links = [...document.querySelectorAll("[data-frappe-tokens-dialog]")];
        (links.find(({ href }) => href === link.href) ?? links[0])?.focus();
        return true;
    };

    const openDialog = async (link) => {
        const dialog = document.createElement("dialog");
        dialog.className = "frappe-tokens-dialog";
        dialog.setAttribute("aria-labelledby", "frappe-tokens-heading");
        let generated = false;
        let generating = false;

        const show = (content) => {
            generated = content.querySelector("[data-frappe-tokens-generated]") !== null;
            dialog.replaceChildren(content);
            showCopyButtons(dialog);
            if (dialog.open) {
                // The focused element was removed with the form.
                const invalid = dialog.querySelector("[aria-invalid=true]");
                (invalid ?? dialog.querySelector("#frappe-tokens-heading")).focus();
            }
        };

        dialog.addEventListener("click", (event) => {
            if (event.target.closest(".frappe-tokens-close")) {
                event.preventDefault();
                dialog.close();
            }
        });
        // On the document, because the button that was pressed is disabled and has lost the focus.
        const keepOpen = (event) => {
            // Escape must not lose a secret that wasn't copied yet. (Browsers limit how often "cancel"
            // can be prevented.)
            if (event.key === "Escape" && (generated || generating)) {
                event.preventDefault();
            }
        };
        document.addEventListener("keydown", keepOpen);
        dialog.addEventListener("close", () => {
            document.removeEventListener("keydown", keepOpen);
            dialog.remove();
            link.focus();
            if (generated) {
                load(window.location.href).then(({ page }) => renewSection(page, link));
            }
        });
        dialog.addEventListener("submit", async (event) => {
            event.preventDefault();
            const form = event.target;
            form.querySelector("[type=submit]").disabled = true;
            generating = true;
            try {
                const options = { method: "POST", body: new FormData(form) };
                const answer = await load(form.action, options);
                if (!answer.redirected) {
                    show(contentOf(answer));
                    return;
                }
                // There is no secret to show.
                dialog.close();
                if (!renewSection(answer.page, link)) {
                    window.location.assign(answer.url); // signed out
                }
            } catch {
                const note = document.createElement("p");
                note.className = "frappe-tokens-note frappe-tokens-warning";
                note.setAttribute("role", "alert");
                note.textContent = link.dataset.unreachable;
                const close = document.createElement("button");
                close.type = "button";
                close.className = "button frappe-tokens-close";
                close.textContent = link.dataset.close;
                form.replaceWith(note, close);
                close.focus();
            } finally {
                generating = false;
            }
        });

        try {
            const answer = await load(link.href);
            if (answer.redirected) {
                throw new Error("signed out");
            }
            show(contentOf(answer));
        } catch {
            // Signed out, refused or offline: the page explains it.
            window.location.assign(link.href);
            return;
        }
        document.body.append(dialog);
        dialog.showModal();
    };

    document.addEventListener("click", (event) => {
        const link = event.target.closest("[data-frappe-tokens-dialog]");
        const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey;
        if (link && plain) {
            event.preventDefault();
            if (!link.ariaBusy) {
                link.ariaBusy = "true";
                openDialog(link).finally(() => { link.ariaBusy = null; });
            }
        }
    });

    // As in the admin, the space bar also presses links with the role of a button.
    document.addEventListener("keydown", (event) => {
        if (event.key === " " && event.target.matches(BUTTONS)) {
            event.preventDefault();
            event.target.click();
        }
    });

    document.addEventListener("DOMContentLoaded", () => showCopyButtons(document));
}
