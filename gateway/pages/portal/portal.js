/** The developers' page: Swagger UI over this service's own OpenAPI document, and somebody to be. */

import { SignInError, openSession } from "../parts/session.js";

const API = "/api/v1/remotecontrol/";

/** Return a request with who is signed in, where it goes to this service and nobody was authorized by hand. */
async function asSomebody(session, request) {
  const url = new URL(request.url, location.origin);
  const isOurs = url.origin === location.origin && url.pathname.startsWith(API);
  if (session?.isSignedIn && isOurs && !request.headers.Authorization) {
    Object.assign(request.headers, await session.headers(request.method ?? "GET", url.href));
  }
  return request;
}

/** Show Swagger UI as light or as dark as the page is. */
function followTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const show = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", show);
  show();
}

async function open() {
  const fault = document.getElementById("fault");
  const who = document.getElementById("who");
  let session = null;
  followTheme();
  try {
    session = await openSession("portal");
  } catch (error) {
    fault.textContent = `Nobody can sign in here: ${error.message}`;
  }
  const response = await fetch("/openapi.json", { credentials: "omit" });
  if (!response.ok) {
    fault.textContent = "There is no OpenAPI document here.";
    return;
  }
  const spec = await response.json();
  const ui = window.SwaggerUIBundle({
    spec,
    dom_id: "#try",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    filter: true,
    validatorUrl: null,
    requestInterceptor: (request) => asSomebody(session, request),
  });
  const signIn = document.getElementById("sign-in");
  const show = () => {
    who.textContent = session?.isSignedIn ? `You are ${session.person}.` : "";
    signIn.textContent = session?.isSignedIn ? "Sign out" : "Sign in";
    signIn.dataset.part = session?.isSignedIn ? "sign-out" : "sign-in";
    signIn.hidden = session === null;
  };
  signIn.addEventListener("click", async () => {
    fault.textContent = "";
    signIn.disabled = true;
    try {
      await (session.isSignedIn ? session.signOut() : session.signIn());
    } catch (error) {
      if (!(error instanceof SignInError)) throw error;
      fault.textContent = `The sign-in did not come about: ${error.message}`;
    } finally {
      signIn.disabled = false;
    }
  });
  session?.addEventListener("changed", show);
  session?.addEventListener("ended", show);
  const sample = document.getElementById("sample");
  sample.hidden = !session?.config.sampleKey;
  sample.addEventListener("click", () => {
    ui.preauthorizeApiKey("bearer", session.config.sampleKey);
    who.textContent = "You are the owner of the sandbox's sample car.";
  });
  show();
}

await open();
