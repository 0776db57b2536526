// Only enhances: every page works without this file.
for (const field of document.querySelectorAll(".reveal input")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = field.dataset.show;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    button.textContent = shown ? field.dataset.show : field.dataset.hide;
    button.setAttribute("aria-pressed", String(!shown));
    field.focus();
  });
  field.after(button);
}
