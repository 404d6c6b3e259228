// The envelope of an xml-crypto client of WUS: written as a string, signed by SignedXml. digipoort.md calls it wus-js.
import { readFileSync } from "node:fs";
import { randomUUID, X509Certificate } from "node:crypto";
import { DOMParser } from "@xmldom/xmldom";
import { SignedXml } from "xml-crypto";

const SOAP = "http://schemas.xmlsoap.org/soap/envelope/";
const WSA = "http://www.w3.org/2005/08/addressing";
const OASIS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss";
const WSSE = `${OASIS}-wssecurity-secext-1.0.xsd`;
const WSU = `${OASIS}-wssecurity-utility-1.0.xsd`;
const X509 = `${OASIS}-x509-token-profile-1.0#X509v3`;
const BASE64 = `${OASIS}-soap-message-security-1.0#Base64Binary`;
const EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#";
const RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256";
const LIFE = 10 * 60 * 1000; // milliseconds
export const SIGNED = ["Timestamp", "Body", "ReplyTo", "To", "Action", "MessageID"];

export const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const named = (name) => `//*[local-name(.)='${name}']`;

/** The signer's certificate alone, whatever stands behind it in the file, as a BinarySecurityToken holds it. */
export const token = (file) => new X509Certificate(readFileSync(file)).raw.toString("base64");

/** A signed request; `parts` are the local names of what is signed. Returns its text and its MessageID. */
export function request({ to, action, operation, certificate, key, parts = SIGNED }) {
  const id = `urn:uuid:${randomUUID()}`;
  const now = Date.now();
  const [created, expires] = [now, now + LIFE].map((moment) => new Date(moment).toISOString());
  const xml =
    `<s:Envelope xmlns:s="${SOAP}" xmlns:a="${WSA}" xmlns:u="${WSU}"><s:Header>` +
    `<a:ReplyTo u:Id="_1"><a:Address>${WSA}/anonymous</a:Address></a:ReplyTo>` +
    `<a:To u:Id="_2">${escape(to)}</a:To>` +
    `<a:Action s:mustUnderstand="1" u:Id="_3">${escape(action)}</a:Action>` +
    `<a:MessageID u:Id="_4">${id}</a:MessageID>` +
    `<o:Security s:mustUnderstand="1" xmlns:o="${WSSE}">` +
    `<u:Timestamp u:Id="_0"><u:Created>${created}</u:Created><u:Expires>${expires}</u:Expires></u:Timestamp>` +
    `<o:BinarySecurityToken u:Id="sec" ValueType="${X509}" EncodingType="${BASE64}">${token(certificate)}` +
    `</o:BinarySecurityToken></o:Security></s:Header><s:Body u:Id="_5">${operation}</s:Body></s:Envelope>`;
  const signer = new SignedXml({
    idMode: "wssecurity",
    privateKey: readFileSync(key),
    canonicalizationAlgorithm: EXCLUSIVE,
    signatureAlgorithm: RSA_SHA256,
    getKeyInfoContent: () =>
      `<o:SecurityTokenReference xmlns:o="${WSSE}"><o:Reference URI="#sec" ValueType="${X509}"/>` +
      "</o:SecurityTokenReference>",
  });
  for (const name of parts) {
    signer.addReference({ xpath: named(name), transforms: [EXCLUSIVE], digestAlgorithm: SHA256 });
  }
  signer.computeSignature(xml, { location: { reference: named("Security"), action: "append" } });
  return { text: signer.getSignedXml(), id };
}

/**
 * The Body of an answer to MessageID `id`, signed with the certificate `hub`. Reads only what the signature covers.
 * Throws an Error for an answer that must not be used.
 */
export function opened(text, id, hub) {
  const answer = new DOMParser().parseFromString(text, "text/xml");
  const signatures = answer.getElementsByTagNameNS("*", "Signature");
  if (signatures.length !== 1) throw new Error("the answer has not one signature");
  const shown = answer.getElementsByTagNameNS(WSSE, "BinarySecurityToken").item(0);
  if (shown?.textContent.replace(/\s/g, "") !== token(hub)) throw new Error("the answer is not from this post office");
  const verifier = new SignedXml({ publicCert: readFileSync(hub), getCertFromKeyInfo: () => null });
  verifier.loadSignature(signatures.item(0));
  if (!verifier.checkSignature(text)) throw new Error("the signature of the answer does not hold");
  const parts = verifier.getSignedReferences().map((part) => new DOMParser().parseFromString(part, "text/xml"));
  const found = (namespace, name) => {
    const roots = parts.map((part) => part.documentElement);
    const root = roots.find((one) => one.namespaceURI === namespace && one.localName === name);
    if (!root) throw new Error(`${name} of the answer is not signed`);
    return root;
  };
  if (found(WSA, "RelatesTo").textContent !== id) throw new Error("this answers another request");
  return found(SOAP, "Body");
}
