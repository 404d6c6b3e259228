<?php
// PHP's own SoapClient, which cannot sign: hands over a document through a side-car and asks for its statuses.
//
// Usage: client.php SIDECAR SCHEMAS DOCUMENT STEP..., where SIDECAR is http://host:port/wus/2.0, SCHEMAS a folder with the
// WSDLs and STEP is submit, statuses or berichtsoort. Prints a line for each answer.

[, $sidecar, $schemas, $document] = $argv;
$kenmerk = '';

function client(string $service): SoapClient
{
    global $sidecar, $schemas;
    return new SoapClient("$schemas/{$service}_V1_2.wsdl", [
        'location' => "$sidecar/" . strtolower($service) . '/1.2',
        'cache_wsdl' => WSDL_CACHE_NONE,
        'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
    ]);
}

function submit(string $berichtsoort): string
{
    global $document;
    $answer = client('AanleverService')->aanleveren([
        'berichtsoort' => $berichtsoort,
        'aanleverkenmerk' => 'Happyflow',
        'identiteitBelanghebbende' => ['nummer' => '001000044B37', 'type' => 'BTW'],
        'rolBelanghebbende' => 'Bedrijf',
        'berichtInhoud' => [
            'mimeType' => 'text/xml',
            'bestandsnaam' => 'Omzetbelasting.xbrl',
            'inhoud' => file_get_contents($document), // the WSDL says base64Binary: PHP encodes it
        ],
        'autorisatieAdres' => 'http://geenausp.nl',
    ]);
    return $answer->kenmerk;
}

function statuses(string $kenmerk): array
{
    $answer = client('StatusinformatieService')->getStatussenProces(['kenmerk' => $kenmerk]);
    return $answer->getStatussenProcesReturn->StatusResultaat;
}

foreach (array_slice($argv, 4) as $step) {
    try {
        if ($step === 'statuses') {
            foreach (statuses($kenmerk) as $status) {
                echo "status $status->statuscode $status->statusomschrijving\n";
            }
        } else {
            $kenmerk = submit($step === 'submit' ? 'Omzetbelasting' : 'BestaatNiet');
            echo "kenmerk $kenmerk\n";
        }
    } catch (SoapFault $fault) {
        $known = $fault->detail->aanleverFault ?? null;
        $text = $known ? "$known->foutcode $known->foutbeschrijving" : $fault->getMessage();
        echo 'fault ', preg_replace('/\s+/', ' ', $text), "\n";
    }
}
