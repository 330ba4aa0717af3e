/* A board for docs/hub/example_hub.c: its UART is standard input and output. The radio hears an echo
 * of each packet that it sends to a device. Device 9 does not answer, device 8 uses up the air. */
#include <stdio.h>
#include <stdlib.h>

#include "mqtt_sn_hub.h"

int uart_read(void);
void uart_write(const uint8_t *octets, size_t length);
int radio_receive(sn_hub_received *received, uint8_t *packet);
uint8_t radio_send(const sn_hub_message *message, uint32_t *busy);

static uint8_t echo[60];
static size_t echo_length;
static sn_hub_address echo_from;

/* The hub goes on for ever, the test does not. */
int uart_read(void)
{
    int octet = getchar();
    if (octet == EOF)
        exit(0);
    return octet;
}

void uart_write(const uint8_t *octets, size_t length)
{
    if (length == 0 || fwrite(octets, 1, length, stdout) != length)
        exit(1);
}

int radio_receive(sn_hub_received *received, uint8_t *packet)
{
    if (echo_length == 0)
        return 0;
    memcpy(packet, echo, echo_length);
    received->packet_length = echo_length;
    received->from = echo_from;
    received->rssi = -71;
    echo_length = 0;
    return 1;
}

uint8_t radio_send(const sn_hub_message *message, uint32_t *busy)
{
    if (message->broadcast)
        return SN_HUB_OUT_SENT;
    if (message->to.length != 1)
        return SN_HUB_OUT_NO_SUCH_DEVICE;
    if (message->to.octets[0] == 9)
        return SN_HUB_OUT_NO_ANSWER;
    if (message->to.octets[0] == 8)
        *busy = 36000;
    if (message->packet_length > sizeof echo)
        exit(1);
    memcpy(echo, message->packet, message->packet_length);
    echo_length = message->packet_length;
    echo_from = message->to;
    return SN_HUB_OUT_ACKNOWLEDGED;
}
