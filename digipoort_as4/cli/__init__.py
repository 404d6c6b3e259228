"""The digipoort command. Prints and reads; the work is done by the modules it calls."""
