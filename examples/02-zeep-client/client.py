"""Hand over a document with zeep, and ask for its statuses. Usage: python client.py [folder of the post office]"""

import sys
import time
from pathlib import Path

import zeep

from digipoort_as4.config import data_file
from digipoort_as4.sdk.zeep import wus

plug = wus("bakkerij-jansen", folder=Path(sys.argv[1]) if len(sys.argv) > 1 else None)


def service(name: str, wsdl: str):
    client = zeep.Client(str(data_file(f"schemas/{wsdl}")), **plug)
    return client.create_service(next(iter(client.wsdl.bindings)), plug["transport"].connection.services[name])


aanleveren = service("aanleveren", "AanleverService_V1_2.wsdl")
statusinformatie = service("statusinformatie", "StatusinformatieService_V1_2.wsdl")

receipt = aanleveren.aanleveren(
    berichtsoort="Omzetbelasting",
    identiteitBelanghebbende={"nummer": "001000044B37", "type": "BTW"},
    rolBelanghebbende="Bedrijf",
    berichtInhoud={
        "mimeType": "text/xml",
        "bestandsnaam": "aangifte.xbrl",
        "inhoud": (Path(__file__).parent.parent / "01-aanleveren-btw" / "aangifte.xbrl").read_bytes(),
    },
    autorisatieAdres="http://geenausp.nl",
)
print("accepted as", receipt.kenmerk)

for _ in range(100):
    statuses = statusinformatie.getStatussenProces(kenmerk=receipt.kenmerk)
    if statuses[-1].statuscode in ("210", "311", "410", "500", "510"):
        break
    time.sleep(0.2)
print(statuses[-1].statuscode, statuses[-1].statusomschrijving)

try:
    statusinformatie.getStatussenProces(kenmerk="unknown")
except zeep.exceptions.Fault as fault:
    print(fault.code, fault.message)
