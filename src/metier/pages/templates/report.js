// Without this script the page works too: style.css opens the details in print where the browser knows how.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.dataset.shut = "";
    details.open = true;
  }
});
addEventListener("afterprint", () => {
  for (const details of document.querySelectorAll("details[data-shut]")) {
    delete details.dataset.shut;
    details.open = false;
  }
});
