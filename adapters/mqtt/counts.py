"""What the operator watches of the MQTT wire (Prometheus)."""

from prometheus_client import Counter, Gauge

DROPPED = Counter(
    "headend_mqtt_dropped",
    "Messages, or values in them, that made no sense and were acknowledged and dropped",
    ["reason"],
)
OVERFLOWS = Counter(
    "headend_mqtt_overflows",
    "Connections dropped by us because too many messages waited; the broker sends them again",
)
CONNECTIONS = Counter("headend_mqtt_connections", "Connections made to a broker", ["broker"])
CONNECTED = Gauge("headend_mqtt_connected", "1 while connected to the broker", ["broker"])
