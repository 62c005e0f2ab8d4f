// The code stands behind the #, which browsers send to no server.
"use strict";
const code = document.getElementById("code");
if (location.hash.length > 1 && !code.value) {
  code.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  document.getElementById("name").focus();
}
