// Hands the server's options to the browser, and the security key's answer to the form.
// Both are JSON as in Web Authentication, Level 3, section 5.1.
"use strict";
const form = document.getElementById("key-form");
const said = document.getElementById("key-said");
const button = form.querySelector("button");

async function ask() {
  const options = JSON.parse(form.dataset.options);
  if (form.dataset.ceremony === "create") {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    return navigator.credentials.create({ publicKey });
  }
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return navigator.credentials.get({ publicKey });
}

function explained(error) {
  if (error.name === "InvalidStateError") {
    return "This security key is registered already: take another.";
  }
  if (error.name === "NotAllowedError") {
    return "No security key answered. Press the button and touch a key.";
  }
  return `This browser cannot use a security key here (${error.name}). Try a newer one.`;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  said.textContent = "";
  try {
    form.elements.answer.value = JSON.stringify(await ask());
    form.submit();
  } catch (error) {
    said.textContent = explained(error);
    button.disabled = false;
    button.focus();
  }
});
