// Passkeys: the options come as JSON, the credential goes back as JSON (WebAuthn Level 3, 5.1.8 and 5.1.9).
"use strict";

const button = document.getElementById("passkey");
const said = document.getElementById("passkey-said");

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-csrf-token": button.dataset.csrf },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error("refused");
  return answer.json();
}

button.addEventListener("click", async () => {
  const action = button.dataset.action;
  said.textContent = "";
  try {
    const options = await post(`${action}/options`, {});
    const credential = action.startsWith("/account")
      ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
      : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
    window.location.assign((await post(action, credential.toJSON())).next);
  } catch (error) {
    console.error(error);
    said.textContent = "That was not accepted. Try again.";
  }
});
