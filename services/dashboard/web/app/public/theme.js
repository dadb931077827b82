// Sets the colour scheme before the first paint. A file of its own, since inline script is forbidden.
(function () {
  var scheme;
  try {
    scheme = localStorage.getItem("mantine-color-scheme-value");
  } catch (e) {
    /* storage is off: follow the system */
  }
  if (scheme !== "light" && scheme !== "dark") {
    scheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  document.documentElement.setAttribute("data-mantine-color-scheme", scheme);
})();
