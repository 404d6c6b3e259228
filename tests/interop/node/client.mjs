// Hands over a document, follows its statuses, gets things wrong on purpose; prints a line for each answer.
//
// Usage: client.mjs HUB DOCUMENT CERTIFICATE KEY CA HUB-CERTIFICATE STEP..., where HUB is https://host:port/wus/2.0, the
// files are PEM, and STEP is submit, follow, or a mistake: berichtsoort, unsigned-to, altered, old-charset.
import { readFileSync } from "node:fs";
import { request as post } from "node:https";
import { DOMParser } from "@xmldom/xmldom";
import { escape, opened, request, SIGNED } from "./envelope.mjs";

const [hub, document, certificate, key, ca, signer, ...steps] = process.argv.slice(2);
const KV = "http://logius.nl/digipoort/koppelvlakservices/1.2/";
const ENDS = new Set(["210", "311", "410", "500", "510"]);
const SERVICES = { aanleveren: "AanleverService", getStatussenProces: "StatusinformatieService" };

function texts(element, name) {
  const found = element.getElementsByTagNameNS(KV, name); // a live list of xmldom: not iterable
  return Array.from({ length: found.length }, (_, index) => found.item(index).textContent);
}

class Fault extends Error {}

/** The Body of the answer. Throws Fault for a refusal, which is never signed, and Error for what cannot be trusted. */
async function call(operation, body, { parts, change = (text) => text, charset = "utf-8" } = {}) {
  const service = SERVICES[operation];
  const path = `${service.toLowerCase()}/1.2`;
  const action = `http://logius.nl/digipoort/wus/2.0/${path}/${service}/${operation}Request`;
  const { text, id } = request({ to: `${hub}/${path}`, action, operation: body, certificate, key, parts });
  const headers = { "Content-Type": `text/xml; charset=${charset}`, SOAPAction: action };
  const answer = await exchange(`${hub}/${path}`, change(text), headers);
  if (answer.status === 200) return opened(answer.text, id, signer);
  const root = new DOMParser().parseFromString(answer.text, "text/xml").documentElement;
  throw new Fault(`${texts(root, "foutcode")[0]} ${texts(root, "foutbeschrijving")[0].replace(/\s+/g, " ")}`);
}

/** One POST with the client certificate, on a connection of its own. */
function exchange(url, body, headers) {
  const options = { method: "POST", headers, cert: readFileSync(certificate), key: readFileSync(key), agent: false };
  return new Promise((resolve, reject) => {
    const sending = post(url, { ...options, ca: readFileSync(ca) }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => resolve({ status: answer.statusCode, text: Buffer.concat(chunks).toString("utf8") }));
    });
    sending.on("error", reject);
    sending.end(body); // no Content-Length of ours: Node knows it
  });
}

const submission = (berichtsoort) =>
  `<aanleverRequest xmlns="${KV}"><berichtsoort>${escape(berichtsoort)}</berichtsoort>` +
  "<aanleverkenmerk>Happyflow</aanleverkenmerk>" +
  "<identiteitBelanghebbende><nummer>001000044B37</nummer><type>BTW</type></identiteitBelanghebbende>" +
  "<rolBelanghebbende>Bedrijf</rolBelanghebbende><berichtInhoud><mimeType>text/xml</mimeType>" +
  "<bestandsnaam>Omzetbelasting.xbrl</bestandsnaam>" +
  `<inhoud>${readFileSync(document).toString("base64")}</inhoud></berichtInhoud>` +
  "<autorisatieAdres>http://geenausp.nl</autorisatieAdres></aanleverRequest>";

async function submit(berichtsoort = "Omzetbelasting", mistake = {}) {
  const answer = await call("aanleveren", submission(berichtsoort), mistake);
  return texts(answer, "kenmerk")[0];
}

/** Asks once a second, until a status that ends the process. */
async function follow(kenmerk) {
  const asked = `<getStatussenProcesRequest xmlns="${KV}"><kenmerk>${escape(kenmerk)}</kenmerk></getStatussenProcesRequest>`;
  for (let told = 0, tries = 0; tries < 30; tries += 1) {
    const answer = await call("getStatussenProces", asked);
    const [codes, words] = [texts(answer, "statuscode"), texts(answer, "statusomschrijving")];
    for (; told < codes.length; told += 1) console.log(`status ${codes[told]} ${words[told]}`);
    if (ENDS.has(codes.at(-1))) return;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  throw new Error("no end after 30 seconds");
}

const STEPS = {
  submit: async () => console.log(`kenmerk ${(kenmerk = await submit())}`),
  follow: async () => follow(kenmerk),
  berichtsoort: async () => submit("BestaatNiet"),
  "unsigned-to": async () => submit(undefined, { parts: SIGNED.filter((name) => name !== "To") }),
  altered: async () => submit(undefined, { change: (text) => text.replace(">Bedrijf<", ">Bedrijg<") }),
  "old-charset": async () => submit(undefined, { charset: "iso-8859-1" }),
};

let kenmerk = "";
for (const step of steps) {
  try {
    await STEPS[step]();
  } catch (trouble) {
    console.log(`${trouble instanceof Fault ? "fault" : "error"} ${trouble.message}`);
  }
}
