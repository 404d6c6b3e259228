package digipoort.interop;

import jakarta.xml.ws.soap.MTOMFeature;
import java.net.URI;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import nl.logius.digipoort.koppelvlakservices._1.AanleverRequest;
import nl.logius.digipoort.koppelvlakservices._1.BerichtInhoudType;
import nl.logius.digipoort.koppelvlakservices._1.FoutType;
import nl.logius.digipoort.koppelvlakservices._1.IdentiteitType;
import nl.logius.digipoort.koppelvlakservices._1.PerKenmerkType;
import nl.logius.digipoort.koppelvlakservices._1.PerLijstType;
import nl.logius.digipoort.koppelvlakservices._1.StatusResultaat;
import nl.logius.digipoort.wus._2_0.aanleverservice._1_2.AanleverServiceFault;
import nl.logius.digipoort.wus._2_0.aanleverservice._1_2.AanleverServiceV12;
import nl.logius.digipoort.wus._2_0.aanleverservice._1_2.AanleverServiceV12_Service;
import nl.logius.digipoort.wus._2_0.ophaalservice._1_2.OphaalServiceFault;
import nl.logius.digipoort.wus._2_0.ophaalservice._1_2.OphaalServiceV12;
import nl.logius.digipoort.wus._2_0.ophaalservice._1_2.OphaalServiceV12_Service;
import nl.logius.digipoort.wus._2_0.statusinformatieservice._1_2.StatusinformatieServiceV12;
import nl.logius.digipoort.wus._2_0.statusinformatieservice._1_2.StatusinformatieServiceV12_Service;

/**
 * Hands over a document, follows its statuses, asks what lies ready, provokes a fault; prints a line for each answer.
 *
 * <p>Usage: Client HUB QUERY DOCUMENT KEYS.p12 PASSWORD-FILE TRUST.p12 STEP..., where HUB is https://host:port/layout,
 * QUERY is wsdl or wsdl&amp;profile=sha1 (the policy is read at run time) and STEP is submit, follow, list or fault.
 */
public final class Client {
    private static final Set<String> ENDS = Set.of("210", "311", "410", "500", "510");

    private final String hub;
    private final String query;
    private final Connection connection;

    private Client(String hub, String query, Connection connection) {
        this.hub = hub;
        this.query = query;
        this.connection = connection;
    }

    public static void main(String[] words) throws Exception {
        System.setProperty("javax.net.ssl.trustStore", words[5]); // for loading the WSDLs
        System.setProperty("javax.net.ssl.trustStorePassword", "changeit");
        String password = Files.readString(Path.of(words[4])).strip();
        Connection connection = new Connection(Path.of(words[3]), password, Path.of(words[5]), "changeit");
        Client client = new Client(words[0], words[1], connection);
        byte[] document = Files.readAllBytes(Path.of(words[2]));
        String kenmerk = "";
        for (String step : List.of(words).subList(6, words.length)) {
            switch (step) {
                case "submit" -> kenmerk = client.submit("Omzetbelasting", document);
                case "follow" -> client.follow(kenmerk);
                case "list" -> client.list();
                case "fault" -> client.submit("BestaatNiet", document);
                default -> throw new IllegalArgumentException(step);
            }
        }
        System.exit(0); // CXF's own threads would keep the process for a while
    }

    private String submit(String berichtsoort, byte[] document) throws Exception {
        URL wsdl = wsdl("aanleverservice");
        MTOMFeature mtom = new MTOMFeature(Boolean.getBoolean("mtom"));
        AanleverServiceV12 port = connection.open(new AanleverServiceV12_Service(wsdl).getAanleverServiceV12(mtom));
        try {
            String kenmerk = port.aanleveren(request(berichtsoort, document)).getKenmerk();
            System.out.println("kenmerk " + kenmerk);
            return kenmerk;
        } catch (AanleverServiceFault fault) {
            show(fault.getFaultInfo());
            return "";
        }
    }

    private static AanleverRequest request(String berichtsoort, byte[] document) {
        IdentiteitType belanghebbende = new IdentiteitType();
        belanghebbende.setNummer("001000044B37");
        belanghebbende.setType("BTW");
        BerichtInhoudType inhoud = new BerichtInhoudType();
        inhoud.setMimeType("text/xml");
        inhoud.setBestandsnaam("aangifte.xbrl");
        inhoud.setInhoud(document);
        AanleverRequest request = new AanleverRequest();
        request.setBerichtsoort(berichtsoort);
        request.setAanleverkenmerk("cxf");
        request.setIdentiteitBelanghebbende(belanghebbende);
        request.setRolBelanghebbende("Bedrijf");
        request.setBerichtInhoud(inhoud);
        request.setAutorisatieAdres("http://geenausp.nl");
        return request;
    }

    private void follow(String kenmerk) throws Exception {
        URL wsdl = wsdl("statusinformatieservice");
        StatusinformatieServiceV12 port =
                connection.open(new StatusinformatieServiceV12_Service(wsdl).getStatusinformatieServiceV12());
        PerKenmerkType asked = new PerKenmerkType();
        asked.setKenmerk(kenmerk);
        List<StatusResultaat> statuses;
        do {
            Thread.sleep(200);
            statuses = port.getStatussenProces(asked).getGetStatussenProcesReturn().getStatusResultaat();
        } while (!ENDS.contains(statuses.get(statuses.size() - 1).getStatuscode()));
        statuses.forEach(one -> System.out.println("status " + one.getStatuscode() + " " + one.getStatusomschrijving()));
    }

    private void list() throws Exception {
        URL wsdl = wsdl("ophaalservice");
        OphaalServiceV12 port = connection.open(new OphaalServiceV12_Service(wsdl).getOphaalServiceV12());
        try {
            int count = port.getBerichtenLijst(new PerLijstType())
                    .getGetBerichtenLijstReturn().getBerichtLijstResultaat().size();
            System.out.println("list " + count);
        } catch (OphaalServiceFault fault) {
            show(fault.getFaultInfo());
        }
    }

    private static void show(FoutType fout) {
        System.out.println("fault " + fout.getFoutcode() + " " + fout.getFoutbeschrijving());
    }

    private URL wsdl(String service) throws Exception {
        return URI.create(hub + "/" + service + "/1.2?" + query).toURL();
    }
}
