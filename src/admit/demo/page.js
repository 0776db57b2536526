// Only enhances: without it each form loads the whole page again.
const place = () => document.getElementById("result");
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches(".way")) return;
  event.preventDefault();
  place().setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action.split("#")[0], { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const text = await answer.text();
    // without the head: its style sheet carries the nonce of another answer
    const body = text.slice(text.indexOf("<body"));
    const page = new DOMParser().parseFromString(body, "text/html");
    const result = page.getElementById("result");
    if (!result) throw new Error("no result");
    place().replaceWith(result);
    document.querySelectorAll(".way").forEach((way) => way.classList.toggle("on", way === form));
    document.querySelector(".work").classList.add("tried");
    document.getElementById("mails").replaceWith(page.getElementById("mails"));
    result.focus({ preventScroll: true });
    const top = result.getBoundingClientRect().top;
    if (top < 0 || top > innerHeight / 2) result.scrollIntoView();
  } catch {
    form.submit();
  }
});
for (const secret of document.querySelectorAll("[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${secret.dataset.copy}`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(secret.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  secret.after(button);
}
