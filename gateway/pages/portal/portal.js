/** The developers' page: Swagger UI over this service's own OpenAPI document, and somebody to be. */

import { SignInError, challengeOf, openSession } from "../parts/session.js";
import { fetchToShow, forSwagger, headerOf } from "./try_it_out.js";

const API = "/api/v1/remotecontrol/";

/** Return a request with who is signed in, where it goes to this service and nobody was authorized by hand. */
async function asSomebody(session, request) {
  const url = new URL(request.url, location.origin);
  const isOurs = url.origin === location.origin && url.pathname.startsWith(API);
  if (session?.isSignedIn && isOurs && !request.headers.Authorization) {
    Object.assign(request.headers, await session.headers(request.method ?? "GET", url.href));
  }
  if (isOurs) request.userFetch = (to, sent) => fetchToShow(to, sent);
  return request;
}

/** Show Swagger UI as light or as dark as the page is. */
function followTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const show = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", show);
  show();
}

/** Offer what a refused request asks of the sign-in, until another one is answered; `signIn` is called with it. */
function stepUpOffer(session, signIn) {
  const offer = document.getElementById("step-up");
  const button = document.getElementById("step-up-sign-in");
  let challenge = null;
  button.addEventListener("click", () => signIn(challenge));
  return (response) => {
    challenge = response.status === 401 && session !== null ? challengeOf(headerOf(response, "www-authenticate")) : null;
    offer.hidden = challenge === null;
    button.textContent = challenge?.acrValues ? "Sign in with a second factor" : "Sign in again";
    return response;
  };
}

/** Open the endpoint at which the person left for a stronger sign-in. */
function goBack(session) {
  const place = session?.kept?.place ?? "";
  if (place.startsWith("#/")) history.replaceState(null, "", place);
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
  const signIn = document.getElementById("sign-in");
  const act = async (button, what) => {
    fault.textContent = "";
    button.disabled = true;
    try {
      await what();
    } catch (error) {
      if (!(error instanceof SignInError)) throw error;
      fault.textContent = `The sign-in did not come about: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  };
  goBack(session);
  const offerStepUp = stepUpOffer(session, (challenge) =>
    act(document.getElementById("step-up-sign-in"), () => session.signIn({ ...challenge, keep: { place: location.hash } })));
  const ui = window.SwaggerUIBundle({
    spec: forSwagger(spec),
    dom_id: "#try",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    filter: true,
    validatorUrl: null,
    requestInterceptor: (request) => asSomebody(session, request),
    responseInterceptor: offerStepUp,
  });
  const show = () => {
    who.textContent = session?.isSignedIn ? `You are ${session.person}.` : "";
    signIn.textContent = session?.isSignedIn ? "Sign out" : "Sign in";
    signIn.dataset.part = session?.isSignedIn ? "sign-out" : "sign-in";
    signIn.hidden = session === null;
  };
  signIn.addEventListener("click", () => act(signIn, () => (session.isSignedIn ? session.signOut() : session.signIn())));
  session?.addEventListener("changed", show);
  session?.addEventListener("ended", show);
  const sample = document.getElementById("sample");
  sample.hidden = !session?.config.sampleKey;
  document.getElementById("sandbox").hidden = sample.hidden;
  sample.addEventListener("click", () => {
    ui.preauthorizeApiKey("bearer", session.config.sampleKey);
    who.textContent = "You are the owner of the sandbox's sample car.";
  });
  show();
}

await open();
