// A password can be looked at while it is typed; it is hidden again before it is sent, so that browsers offer to keep it.
for (const input of document.querySelectorAll("input[type=password]")) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "show", textContent: "Show" });
  const label = document.querySelector(`label[for="${input.id}"]`).textContent.toLowerCase();
  const show = (shown) => {
    input.type = shown ? "text" : "password";
    button.textContent = shown ? "Hide" : "Show";
    button.setAttribute("aria-label", `${button.textContent} the ${label}`);
  };
  show(false);
  input.spellcheck = false;
  input.autocapitalize = "none";
  button.addEventListener("click", () => {
    show(input.type === "password");
    input.focus();
  });
  input.form.addEventListener("submit", () => show(false));
  input.after(button);
}
