"""Hand over a document with zeep, and ask for its statuses. Usage: python client.py [post-office.json]"""

import sys
import time
from pathlib import Path

import zeep

from digipoort_as4.cli.common import default_dir
from digipoort_as4.config import data_file
from digipoort_as4.sdk import office
from digipoort_as4.sdk.connection import connect
from digipoort_as4.sdk.wus_transport import WusTransport

file = Path(sys.argv[1]) if len(sys.argv) > 1 else default_dir() / office.FILE
place = office.read(file)
connection = connect(place, place.party("bakkerij-jansen"))


def service(name: str, wsdl: str):
    client = zeep.Client(str(data_file(f"schemas/{wsdl}")), transport=WusTransport(connection))
    return client.create_service(next(iter(client.wsdl.bindings)), place.services[name])


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
