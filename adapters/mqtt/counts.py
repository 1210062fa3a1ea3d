"""What the operator watches of the MQTT wire (Prometheus)."""

from prometheus_client import Counter, Gauge

DROPPED = Counter(
    "headend_mqtt_dropped",
    "Messages, or values in them, that made no sense and were acknowledged and dropped",
    ["reason"],
)
PAUSES = Counter(
    "headend_mqtt_pauses",
    "Times that reading stopped because too many messages waited to be taken in",
)
CONNECTIONS = Counter("headend_mqtt_connections", "Connections made to a broker", ["broker"])
CONNECTED = Gauge("headend_mqtt_connected", "1 while connected to the broker", ["broker"])
