package digipoort.interop;

import jakarta.xml.ws.BindingProvider;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.Map;
import java.util.Properties;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.TrustManagerFactory;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.CallbackHandler;
import org.apache.cxf.configuration.jsse.TLSClientParameters;
import org.apache.cxf.frontend.ClientProxy;
import org.apache.cxf.transport.http.HTTPConduit;
import org.apache.cxf.ws.security.SecurityConstants;
import org.apache.wss4j.common.ext.WSPasswordCallback;

/** Keys and trust of one client: gives a generated port what its policy asks for, and what mutual TLS needs. */
record Connection(Path keys, String password, Path trust, String trustPassword) {
    private static final String RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
    private static final boolean AS_SUITE_SAYS = "suite".equals(System.getProperty("signature"));

    /** What is signed, and how, the policy in the WSDL says; here stands only with which keys. */
    <P> P open(P port) throws Exception {
        Map<String, Object> context = ((BindingProvider) port).getRequestContext();
        context.put(SecurityConstants.SIGNATURE_PROPERTIES, signing());
        context.put(SecurityConstants.ENCRYPT_PROPERTIES, signing()); // holds the answer's trust as well
        context.put(SecurityConstants.SIGNATURE_USERNAME, alias());
        if (!AS_SUITE_SAYS) { // to CXF every suite says RSA-SHA1; a Sha256 in its name is about digests only
            context.put(SecurityConstants.ASYMMETRIC_SIGNATURE_ALGORITHM, RSA_SHA256);
        }
        context.put(SecurityConstants.CALLBACK_HANDLER, (CallbackHandler) this::tellPassword);
        ((HTTPConduit) ClientProxy.getClient(port).getConduit()).setTlsClientParameters(tls());
        return port;
    }

    private Properties signing() {
        Properties properties = new Properties();
        properties.put("org.apache.wss4j.crypto.provider", "org.apache.wss4j.common.crypto.Merlin");
        properties.put("org.apache.wss4j.crypto.merlin.keystore.type", "pkcs12");
        properties.put("org.apache.wss4j.crypto.merlin.keystore.file", keys.toString());
        properties.put("org.apache.wss4j.crypto.merlin.keystore.password", password);
        properties.put("org.apache.wss4j.crypto.merlin.truststore.type", "pkcs12");
        properties.put("org.apache.wss4j.crypto.merlin.truststore.file", trust.toString());
        properties.put("org.apache.wss4j.crypto.merlin.truststore.password", trustPassword);
        return properties;
    }

    private void tellPassword(Callback[] callbacks) {
        for (Callback callback : callbacks) {
            ((WSPasswordCallback) callback).setPassword(password);
        }
    }

    private TLSClientParameters tls() throws Exception {
        KeyManagerFactory own = KeyManagerFactory.getInstance("PKIX");
        own.init(load(keys, password), password.toCharArray());
        TrustManagerFactory theirs = TrustManagerFactory.getInstance("PKIX");
        theirs.init(load(trust, trustPassword));
        TLSClientParameters parameters = new TLSClientParameters();
        parameters.setKeyManagers(own.getKeyManagers());
        parameters.setTrustManagers(theirs.getTrustManagers());
        return parameters;
    }

    private String alias() throws Exception {
        return load(keys, password).aliases().nextElement();
    }

    private static KeyStore load(Path file, String password) throws Exception {
        KeyStore store = KeyStore.getInstance("pkcs12");
        try (InputStream octets = Files.newInputStream(file)) {
            store.load(octets, password.toCharArray());
        }
        return store;
    }
}
